import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { bundle } from './bundle.mjs';

export const title = 'probe of a generated host (nothing bound), an unchanged rescan, and from event to diff';

const SIZES = [8, 64, 1024, 8192];
const ROUNDS = 5;
const run_ = promisify(execFile);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

export async function run(measure) {
  // A tmpfs, as sysfs has no disk beneath either.
  const dir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'vsmmu-bench-'));
  try {
    const child = await bundle('bench/probe-run.ts', dir, 'probe-run.mjs');
    const generator = await import(await bundle('test/shim/generated-host.ts', dir, 'generated.mjs'));
    const strace = await hasStrace();
    for (const size of SIZES) {
      const root = join(dir, `host-${size}`);
      generator.writeTree(root, generator.generatedTree(generator.generateFunctions(size)));
      await one(measure, child, root, size, strace ? dir : undefined);
    }
    if (!strace) measure.skip('system calls', 'there is no strace');
    await eventToDiff(measure, dir, join(dir, 'host-1024'), generator);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function one(measure, child, root, size, straceDir) {
  const [firsts, cpu] = [[], []];
  const [warm, blocks, cpuBlocks, memory, rescans] = [[], [], [], [], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const probe = await figures(child, 'probe', root, 3);
    firsts.push(probe.ms[0]);
    cpu.push(probe.cpu[0]);
    warm.push(median(probe.ms.slice(1)));
    blocks.push(probe.blocked);
    cpuBlocks.push(probe.blockedCpu);
    memory.push(probe.rssMiB);
    rescans.push(median((await figures(child, 'rescan', root, 5)).ms));
  }
  measure.row(`${size} functions: first probe`, 'ms', firsts);
  measure.row(`${size} functions: first probe, CPU`, 'ms', cpu);
  measure.row(`${size} functions: later probe`, 'ms', warm);
  measure.row(`${size} functions: longest block of the event loop`, 'ms', blocks);
  measure.row(`${size} functions: longest block of the event loop, CPU`, 'ms', cpuBlocks);
  measure.row(`${size} functions: memory (maximum resident set)`, 'MiB', memory);
  measure.row(`${size} functions: unchanged rescan`, 'ms', rescans);
  if (straceDir === undefined || size > 1024) return;
  const calls = async (mode, rounds) => systemCalls(child, mode, root, rounds, straceDir);
  const [none, two] = [await calls('probe', 1), await calls('probe', 2)];
  measure.row(`${size} functions: system calls of a probe, each function`, 'calls', [(two - none) / size]);
  const [few, more] = [await calls('rescan', 1), await calls('rescan', 11)];
  measure.row(`${size} functions: system calls of a rescan, each function`, 'calls', [
    (more - few) / 10 / size,
  ]);
}

async function figures(child, mode, root, rounds) {
  const { stdout } = await run_(process.execPath, [child, mode, root, String(rounds)]);
  return JSON.parse(stdout);
}

/** File system calls alone: what the runtime does for itself (futex, mmap) is not the probe's. */
async function systemCalls(child, mode, root, rounds, dir) {
  const file = join(dir, 'strace.txt');
  const args = ['-f', '-c', '-e', 'trace=%file,read,close,getdents64,fstat,pread64', '-o', file];
  await run_('strace', [...args, process.execPath, child, mode, root, String(rounds)]);
  const total = readFileSync(file, 'utf8')
    .split('\n')
    .findLast((line) => line.includes('total'));
  return Number(total.trim().split(/\s+/)[3]);
}

async function hasStrace() {
  try {
    await run_('strace', ['-V']);
    return true;
  } catch {
    return false;
  }
}

/** A driver is bound and its node appears: how long until the diff is told, settling time included. */
async function eventToDiff(measure, dir, root, generator) {
  const [{ watchHost }, { FolderHints }, { openLiveHost }, { probeHost }] = await Promise.all(
    ['watch', 'hints', 'live-host', 'probe'].map(
      async (name) => import(await bundle(`src/host/${name}.ts`, dir, `${name}.mjs`)),
    ),
  );
  const source = openLiveHost({ root, bind: false });
  const aborter = new AbortController();
  const devices = join(root, 'dev/vfio/devices');
  const updates = watchHost({
    source,
    signal: aborter.signal,
    hints: [new FolderHints([devices])],
    scan: (signal) => probeHost(source, { signal }),
  });
  await updates.next();
  const values = [];
  const [one] = generator.generateFunctions(1);
  for (let round = 0; round < ROUNDS; round += 1) {
    const next = updates.next();
    const begun = performance.now();
    if (round % 2 === 0) rmSync(join(devices, one.vfioName));
    else generator.writeEntry(root, join('/dev/vfio/devices', one.vfioName), { kind: 'file', content: '' });
    await next;
    values.push(performance.now() - begun);
  }
  aborter.abort();
  measure.row('1024 functions: from event to diff (100 ms of it to let events settle)', 'ms', values);
}
