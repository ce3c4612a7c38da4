import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from '@jest/globals';

import { runProgram } from '../src/cli/program.js';
import { capturedIo } from './captured-io.js';
import { oneGpu } from './fixtures/domain/documents.js';
import { sharedData } from './shared-data.js';

const GRACE_HOST = 'test/fixtures/hosts/grace-2gpu';

async function run(stdin: string, ...args: readonly string[]) {
  const io = capturedIo(stdin);
  const status = await runProgram([...args, '--host', GRACE_HOST], io);
  return { status, out: io.out(), err: io.err() };
}

function scratch(name: string, content: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'vsmmu-')), name);
  writeFileSync(path, content);
  return path;
}

describe('vsmmu check', () => {
  test('finds nothing in a rewritten domain', async () => {
    const { out } = await run(oneGpu(), 'rewrite', '-');
    expect(await run(out, 'check', '-')).toMatchObject({ status: 0, err: '' });
  });

  test("names device, SMMU, QEMU's words and the remedy", async () => {
    const driver = "<driver pciBus='1' accel='on' oas='40'/>";
    const { status, out } = await run(oneGpu({ driver }), 'check', '-');
    expect(status).toBe(1);
    expect(out).toBe(
      "VALUE_NOT_IMPLEMENTED at standard input:20:5: iommu0: oas=40: QEMU's vSMMU implements 44 and 48 bits only\n" +
        '  QEMU: QEMU SMMUv3 model only implements 44 and 48 bitOAS; other OasMode values are not supported\n' +
        '  remedy: Ask for 44, 48 or auto.\n',
    );
  });

  test("a domain's text does not move the terminal's cursor", async () => {
    const driver = "<driver pciBus='1' accel='on' ril='\u009b2J'/>";
    expect((await run(oneGpu({ driver }), 'check', '-')).out).toContain("ril='?2J'");
    const refused = await run(oneGpu({ driver }), 'rewrite', '-', '--existing', 'keep');
    expect(refused).toMatchObject({
      status: 1,
      out: '',
      err: expect.stringContaining("ril='?2J'") as unknown,
    });
  });

  test('-o json', async () => {
    const { status, out } = await run(oneGpu({ hostdev: '' }), 'check', '-', '-o', 'json');
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      findings: [{ code: 'AUTO_NEEDS_COLD_PLUG', place: 'standard input:13:5' }],
    });
  });

  test('no domain is an error, not a finding', async () => {
    expect(await run('<pool/>', 'check', '-')).toMatchObject({ status: 3, out: '' });
  });
});

describe('vsmmu rewrite, policies', () => {
  test('--set, --baseline, --topology, --libvirt and --qemu', async () => {
    const limited = (value: unknown) => ({ value, limitedBy: [] });
    const baseline = scratch(
      'fleet.json',
      JSON.stringify({
        vsmmu: {
          ats: limited('on'),
          ril: limited('off'),
          ssidsize: limited(16),
          oas: limited(44),
          cmdqv: limited('off'),
        },
      }),
    );
    const text = readFileSync('test/fixtures/domain/no-topology.xml', 'utf8');
    const { status, out } = await run(
      text,
      ...['rewrite', '-', '--topology', 'complete', '--set', 'ssidsize=8', '--baseline', baseline],
      ...['--libvirt', '12.6.0', '--qemu', '11.1'],
    );
    expect(status).toBe(0);
    const properties = [...out.matchAll(/name='(\w+)' type='\w+' value='(\w+)'/g)].map(([, ...parts]) =>
      parts.join('='),
    );
    expect(properties).toEqual([
      ...['accel=true', 'cmdqv=off', 'ats=on', 'ril=off', 'ssidsize=8', 'oas=44', 'ats=on'],
      ...['accel=true', 'cmdqv=off', 'ats=on', 'ril=off', 'ssidsize=8', 'oas=44', 'ats=on'],
    ]);
  });

  test.each([
    ['a wish that is none', ['--set', 'ril=perhaps'], 2, 'WISH_MALFORMED'],
    ['a version that is none', ['--libvirt', 'new'], 2, 'USAGE'],
    ['an old libvirt', ['--libvirt', '9.0.0'], 1, 'TARGET_LACKS'],
    ['a missing baseline', ['--baseline', '/nonexistent'], 3, 'UNREADABLE_FILE'],
    ['another policy', ['--topology', 'some'], 2, 'USAGE'],
  ])('%s', async (_, options, status, code) => {
    const result = await run(oneGpu(), 'rewrite', '-', ...options);
    expect(result).toMatchObject({ status, out: '' });
    expect(result.err).toContain(`error[${code}]`);
  });

  test('a launcher that can use nothing leaves the domain alone under omit, and says so', async () => {
    const { status, out, err } = await run(
      oneGpu(),
      'rewrite',
      '-',
      '--libvirt',
      '9.0.0',
      '--unresolvable',
      'omit',
    );
    expect({ status, out }).toEqual({ status: 0, out: oneGpu() });
    expect(err).toMatch(/^warning\[TARGET_LACKS\]: libvirt 9\.0\.0 ignores/);
  });

  test('a launcher that does not answer is told apart from one that lacks something', async () => {
    const io = capturedIo(oneGpu());
    const path = process.env['PATH'];
    process.env['PATH'] = '/nonexistent';
    try {
      expect(await runProgram(['rewrite', '-', '--probe', '--host', GRACE_HOST], io)).toBe(3);
    } finally {
      process.env['PATH'] = path;
    }
    expect(io.err()).toContain('error[LAUNCHER_SILENT] at virsh');
  });

  test('a warning goes to standard error, the document to standard output', async () => {
    const text = oneGpu().replace("<driver iommufd='yes'/>", '');
    const { status, out, err } = await run(text, 'rewrite', '-');
    expect(status).toBe(0);
    expect(out).toContain("ssidsize='20'");
    expect(err).toMatch(/^warning\[IOMMUFD_REQUIRED\] at standard input:\d+:5: ua-gpu0 does not use iommufd/);
  });
});

describe('vsmmu qemu-args', () => {
  const shared = existsSync(sharedData('qemu')) ? test : test.skip;
  shared("resolves the seed thread's command (needs the shared QEMU command)", async () => {
    const text = readFileSync(sharedData('qemu', 'example-command.txt'), 'utf8').replace(
      '0009:06:',
      '0009:01:',
    );
    const { status, out } = await run(text, 'qemu-args', '-');
    expect(status).toBe(0);
    expect(out).toBe(
      text
        .replace('ats=auto,ssidsize=auto,ril=auto,oas=auto', 'ats=on,ssidsize=20,ril=on,oas=48')
        .replace('iommufd=iommufd0,ats=auto', 'iommufd=iommufd0,ats=on'),
    );
  });

  test('a device that the host lacks', async () => {
    const text =
      'qemu -device arm-smmuv3,primary-bus=pcie.0,accel=on -device vfio-pci,host=0042:01:00.0,iommufd=iommufd0\n';
    const { status, out, err } = await run(text, 'qemu-args', '-');
    expect({ status, out }).toEqual({ status: 1, out: '' });
    expect(err).toContain('error[HOSTDEV_UNKNOWN] at standard input:1:');
  });
});

test.each([[['rewrite', '--explain']], [['rewrite', '--existing', 'keep']], [['check']]])(
  "%j: a value that a domain's author wrote moves no cursor, turns nothing round and begins no line",
  async (args) => {
    const value = 'on&#10;error[OK]: &#x9b;31m&#x202e;';
    const text = oneGpu({ driver: `<driver pciBus='1' accel='on' ats='${value}'/>` });
    const { out, err } = await run(text, ...args, '-');
    expect(out + err).toContain('error[OK]: ?31m?');
    expect(out + err).not.toMatch(/[\u0080-\u009f\u202e]|^error\[OK\]/m);
  },
);
