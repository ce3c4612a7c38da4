import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { buildGo } from './go-build.mjs';
import { bundle } from './bundle.mjs';

export const title =
  'a scan of a generated host (nothing bound) beside lspci -vvv and a Go sysfs walker that reads the same files';

const SIZES = [8, 64, 1024, 8192];
const ROUNDS = 5;
/** Scans in one process: the first is what a command pays for, the others what an agent does. */
const SCANS = 5;
const run_ = promisify(execFile);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

export async function run(measure) {
  // A tmpfs, as sysfs has no disk beneath either.
  const dir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'vsmmu-bench-'));
  try {
    const probe = await bundle('bench/probe-run.ts', dir, 'probe-run.mjs');
    const generator = await import(await bundle('test/shim/generated-host.ts', dir, 'generated.mjs'));
    const walker = await buildGo('bench/go-walker', join(dir, 'walker'));
    const lspci = await hasLspci();
    if (walker.program === undefined) measure.skip('the Go walker', walker.why);
    if (!lspci) measure.skip('lspci', 'there is none (Debian package pciutils)');
    for (const size of SIZES) {
      const root = join(dir, `host-${size}`);
      generator.writeTree(root, generator.generatedTree(generator.generateFunctions(size)));
      if (walker.program !== undefined) await scans(measure, { probe, walker: walker.program, root, size });
      await processes(measure, { probe, walker: walker.program, lspci, root, size });
      rmSync(root, { recursive: true });
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The scan itself, in processes that have started already. */
async function scans(measure, { probe, walker, root, size }) {
  const [ours, theirs] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    ours.push((await figures(process.execPath, [probe, 'scan', root, `${SCANS}`])).ms);
    theirs.push((await figures(walker, [root, `${SCANS}`])).ms);
  }
  const firsts = (runs) => runs.map(([first]) => first);
  const laters = (runs) => runs.map(([, ...later]) => median(later));
  const pair = (what, of) =>
    measure.pair(
      'ms',
      [`${size} functions: ${what}, vsmmu`, of(ours)],
      [`${size} functions: ${what}, Go`, of(theirs)],
    );
  pair('first scan', firsts);
  pair('later scan', laters);
}

async function figures(program, args) {
  const { stdout } = await run_(program, args);
  return JSON.parse(stdout);
}

/** Whole processes, as somebody waits for them at a prompt. */
async function processes(measure, { probe, walker, lspci, root, size }) {
  const commands = [
    ['vsmmu', [process.execPath, probe, 'scan', root, '1']],
    ...(lspci
      ? [['lspci -vvv', ['lspci', '-vvv', '-A', 'linux-sysfs', '-O', `sysfs.path=${root}/sys/bus/pci`]]]
      : []),
    ...(walker === undefined ? [] : [['Go', [walker, root, '1']]]),
  ];
  const results = await measure.processes(
    commands.map(([, command]) => command),
    ROUNDS,
  );
  const name = (index) => `${size} functions: whole process, ${commands[index][0]}`;
  for (const [index, { ms }] of results.entries()) {
    if (index === 0) measure.row(name(index), 'ms', ms);
    else
      measure.row(
        name(index),
        'ms',
        ms,
        `vsmmu takes ${(median(results[0].ms) / median(ms)).toPrecision(2)}x`,
      );
  }
}

async function hasLspci() {
  try {
    await run_('lspci', ['--version']);
    return true;
  } catch {
    return false;
  }
}
