import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';

import { allCommands, commandModel } from '../src/cli/command-model.js';
import { programName } from '../src/cli/program-name.js';
import { createProgram, runProgram } from '../src/cli/program.js';
import { ExitStatus } from '../src/errors.js';
import { capturedIo } from './captured-io.js';

const HOST = 'src/cli/demo/two-gpu-host';
const program = commandModel(createProgram(capturedIo(), () => undefined));

async function run(args: readonly string[], stdin = '') {
  const io = capturedIo(stdin);
  const status = await runProgram(args, io);
  return { status, out: io.out(), err: io.err() };
}

describe('the commands as data', () => {
  test('hold every command with a description and examples that begin with it', () => {
    const commands = allCommands(program);
    expect(commands.length).toBeGreaterThan(10);
    for (const { path, description, options, examples, subcommands } of commands) {
      expect({ path, description }).toMatchObject({ description: expect.stringMatching(/\.$/) });
      if (subcommands.length > 0) continue;
      expect({ path, examples }).toEqual({ path, examples: expect.arrayContaining([expect.anything()]) });
      for (const example of examples)
        expect(example).toMatch(new RegExp(`(^|[|(] ?)(${path}|kubectl|virsh)( |$)`));
      for (const option of options)
        expect({ path, option }).toMatchObject({ option: { description: /./ as unknown } });
    }
    const probe = commands.find(({ path }) => path === 'vsmmu probe');
    expect(probe?.options.find(({ long }) => long === '--output')).toMatchObject({
      short: '-o',
      value: 'format',
      choices: ['table', 'json', 'yaml'],
      defaultValue: 'table',
    });
  });
});

describe('vsmmu completion', () => {
  let dir = '';
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'vsmmu-completion-'));
    writeFileSync(join(dir, 'vsmmu.bash'), (await run(['completion', 'bash'])).out);
    writeFileSync(join(dir, 'a-file'), '');
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  /** What bash offers at the end of the line. */
  const completions = (line: string) => {
    const words = line.split(' ');
    const script = `source ./vsmmu.bash; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _vsmmu; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['--norc', '-c', script], { cwd: dir, encoding: 'utf8' })
      .split('\n')
      .filter(Boolean);
  };

  test.each([
    ['vsmmu pro', ['probe']],
    ['vsmmu probe --al', ['--all']],
    ['vsmmu probe -o ', ['table', 'json', 'yaml']],
    ['vsmmu probe --output j', ['json']],
    ['vsmmu probe --host a', ['a-file']],
    ['vsmmu explain v', ['vmi']],
    ['vsmmu explain vmi --names', ['--namespace']],
    ['vsmmu completion --h', ['--help']],
    ['vsmmu nosuch', []],
    // A value that is also a command's name is no command.
    ['vsmmu resolve --batch --no', ['--node']],
  ])('in bash: %s<TAB>', (line, expected) => {
    expect(completions(line)).toEqual(expected);
  });

  test('offers every command', () => {
    expect(completions('vsmmu ')).toEqual([
      ...program.subcommands.map(({ path }) => path.replace('vsmmu ', '')),
      '--version',
      '--help',
    ]);
  });

  test('refuses a shell it does not know, and names those it does', async () => {
    const { status, err } = await run(['completion', 'powershell']);
    expect(status).toBe(ExitStatus.usage);
    expect(err).toContain('bash, zsh, fish');
  });
});

describe('an unknown word', () => {
  test.each([
    [['prob'], /Did you mean probe\?/],
    [['probe', '--al'], /Did you mean --all\?/],
  ])('%j gets a suggestion', async (args, suggestion) => {
    const { status, err } = await run(args);
    expect(status).toBe(ExitStatus.usage);
    expect(err).toMatch(suggestion);
  });
});

describe('vsmmu config kubevirt', () => {
  const current = {
    apiVersion: 'kubevirt.io/v1',
    kind: 'KubeVirt',
    metadata: { name: 'kubevirt' },
    spec: {
      configuration: {
        developerConfiguration: { featureGates: ['IOMMUFD', 'Sidecar'] },
        permittedHostDevices: {
          pciHostDevices: [
            { pciVendorSelector: '8086:6F54', resourceName: 'intel.com/qat' },
            { pciVendorSelector: '10DE:0000', resourceName: 'vsmmu.io/10de-2941-ats' },
          ],
        },
      },
    },
  };

  test('permits each resource that the agent would advertise', async () => {
    const { status, out, err } = await run(['config', 'kubevirt', '--host', HOST]);
    expect(status).toBe(ExitStatus.ok);
    expect(parse(out)).toMatchObject({
      spec: {
        configuration: {
          developerConfiguration: { featureGates: ['HostDevices', 'Sidecar'] },
          permittedHostDevices: {
            pciHostDevices: expect.arrayContaining([
              {
                pciVendorSelector: expect.stringMatching(/^[0-9A-F]{4}:[0-9A-F]{4}$/),
                resourceName: expect.stringMatching(/^vsmmu\.io\//),
                externalResourceProvider: true,
              },
            ]),
          },
        },
      },
    });
    expect(err).toContain('--current');
  });

  test('keeps what KubeVirt has, in its order, and patching twice changes nothing', async () => {
    const args = ['config', 'kubevirt', '--host', HOST, '--current', '-', '-o', 'json'];
    const first = await run(args, stringify(current));
    expect(first.err).toBe('');
    const patch = JSON.parse(first.out) as typeof current;
    const { developerConfiguration, permittedHostDevices } = patch.spec.configuration;
    expect(developerConfiguration.featureGates).toEqual(['IOMMUFD', 'Sidecar', 'HostDevices']);
    expect(permittedHostDevices.pciHostDevices[0]).toEqual({
      pciVendorSelector: '8086:6F54',
      resourceName: 'intel.com/qat',
    });
    const names = permittedHostDevices.pciHostDevices.map(({ resourceName }) => resourceName);
    expect(new Set(names).size).toBe(names.length);
    const second = await run(args, JSON.stringify({ ...current, spec: patch.spec }));
    expect(second.out).toBe(first.out);
  });

  test.each([
    ['another kind', 'kind: VirtualMachine', /kind/],
    ['no YAML', 'a: [', /no KubeVirt object/],
    [
      'a list that is none',
      'kind: KubeVirt\nspec: {configuration: {permittedHostDevices: {pciHostDevices: x}}}',
      /pciHostDevices/,
    ],
  ])('refuses %s', async (_name, text, message) => {
    const { status, err } = await run(['config', 'kubevirt', '--host', HOST, '--current', '-'], text);
    expect(status).toBe(ExitStatus.usage);
    expect(err).toMatch(message);
  });
});

test.each([
  ['/usr/local/bin/kubectl-vsmmu', 'kubectl vsmmu'],
  ['/usr/lib/vsmmu/kubectl-vsmmu.js', 'kubectl vsmmu'],
  ['/usr/local/bin/vsmmu', 'vsmmu'],
  ['dist/vsmmu.js', 'vsmmu'],
  [undefined, 'vsmmu'],
])('started as %s it calls itself %s', async (path, name) => {
  const io = capturedIo();
  expect(await runProgram(['explain', 'vmi', '--help'], io, programName(path))).toBe(0);
  expect(io.out()).toContain(`Usage: ${name} explain vmi `);
});

const onFull = existsSync('/dev/full') ? test : test.skip;
onFull('a full disk is an error with a place and a remedy, and no stack', () => {
  const full = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(process.execPath, ['dist/vsmmu.js', 'probe', '--host', HOST], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  closeSync(full);
  expect({ status, stderr }).toEqual({
    status: ExitStatus.failed,
    stderr: expect.stringMatching(
      /^error\[UNWRITABLE_FILE\] at standard output: ENOSPC.*\n {2}remedy: .*\n$/,
    ) as unknown,
  });
});

test.each([
  ['none at all', {}, 'at ~/.kube/config: the kubeconfig cannot be used: there is none, and this is no pod'],
  [
    'one that is something else',
    { KUBECONFIG: 'package.json' },
    'at package.json: the kubeconfig cannot be used: it names no current context',
  ],
])('a kubeconfig: %s', (_name, env, message) => {
  const home = mkdtempSync(join(tmpdir(), 'vsmmu-home-'));
  const { status, stderr } = spawnSync(process.execPath, ['dist/vsmmu.js', 'status'], {
    env: { PATH: process.env['PATH'], HOME: home, ...env },
    encoding: 'utf8',
  });
  rmSync(home, { recursive: true });
  expect({ status, stderr }).toEqual({
    status: ExitStatus.failed,
    stderr: expect.stringContaining(message) as unknown,
  });
});

// Node 24 warns of it at run time (DEP0040); older ones say nothing.
test('no part of the program takes the punycode of Node, which is deprecated', () => {
  const bundled = readdirSync('dist/chunks').filter((name) => name.endsWith('.js'));
  expect(bundled.length).toBeGreaterThan(0);
  const deprecated = bundled.filter((name) =>
    /\(["'](?:node:)?punycode["']\)/.test(readFileSync(join('dist/chunks', name), 'utf8')),
  );
  expect(deprecated).toEqual([]);
});
