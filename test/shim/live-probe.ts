import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { buildSync } from 'esbuild';
import type { ReaderCommandOptions } from '../../src/cli/commands/reader.js';
import type { LiveHostOptions } from '../../src/host/live-host.js';
import type { ProbeOptions } from '../../src/host/probe.js';
import type { HostReport } from '../../src/host/report.js';

const HERE = resolve('test/shim');

/** undefined where this machine has no C compiler; the tests then say by name that they did not run. */
export function findCompiler(): string | undefined {
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
    return 'gcc';
  } catch {
    return undefined;
  }
}

export interface LiveProbeKit {
  readonly dir: string;
  readonly shim: string;
}

/** Compiles the shim and bundles the children, once for a test file. */
export function buildKit(compiler: string): LiveProbeKit {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-shim-'));
  const shim = join(dir, 'iommufd-shim.so');
  const source = join(HERE, 'iommufd-shim.c');
  execFileSync(compiler, [
    '-shared',
    '-fPIC',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-o',
    shim,
    source,
    '-ldl',
  ]);
  buildSync({
    entryPoints: ['live-child.ts', 'reader-child.ts'].map((name) => join(HERE, name)),
    outdir: dir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi', 'winston'],
    logLevel: 'warning',
  });
  symlinkSync(resolve('node_modules'), join(dir, 'node_modules'));
  return { dir, shim };
}

/** The shim's table for the replies of a recording. @param names vfio names by BDF */
export function replyTable(recording: string, names: ReadonlyMap<string, string>): string[] {
  const file = join(recording, 'iommu-hw-info.json');
  if (!existsSync(file)) return [];
  const queries = JSON.parse(readFileSync(file, 'utf8')) as {
    bdf: string;
    query: string;
    size: number;
    flags: number;
    in_type: number;
    rc: number;
    errno: number;
    struct_hex?: string;
    data_hex?: string;
  }[];
  return queries
    .filter(({ size, query }) => size === 40 && query !== 'bad dev_id')
    .flatMap((item) => {
      const name = names.get(item.bdf);
      const hex = (text: string | undefined) => /^[0-9a-f]+/.exec(text ?? '')?.[0] ?? '-';
      return name === undefined
        ? []
        : [
            `reply ${name} ${item.flags} ${item.in_type} ${item.rc} ${item.errno} ${hex(item.struct_hex)} ${hex(item.data_hex)}`,
          ];
    });
}

export interface LiveProbeResult {
  readonly report: HostReport;
  /** Timer ticks of 5 ms that ran meanwhile: shows that system calls did not block the event loop. */
  readonly ticks: number;
  /** File operations of the same process that ended meanwhile, one every 20 ms at the most. */
  readonly files: number;
  /** What the kernel's stand-in was asked, in order. */
  readonly calls: readonly string[];
}

export interface RunningProbe {
  readonly done: Promise<LiveProbeResult>;
  /** Resolves when the kernel's stand-in has been asked this. */
  called(call: string): Promise<void>;
}

let runs = 0;

export type LiveProbeOptions = Omit<LiveHostOptions, 'isHandedOut'> &
  ProbeOptions & {
    /** IOMMU groups that a VM has or will have. */
    readonly handedOut?: readonly number[];
  };

export function liveProbe(
  kit: LiveProbeKit,
  options: LiveProbeOptions,
  table: readonly string[],
): Promise<LiveProbeResult> {
  return startLiveProbe(kit, options, table).done;
}

interface Child {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  readonly calls: () => string[];
}

/** @param script one of the bundled children */
function startChild(kit: LiveProbeKit, script: string, options: object, table: readonly string[]): Child {
  runs += 1;
  const [tableFile, log] = [join(kit.dir, `table-${runs}`), join(kit.dir, `log-${runs}`)];
  writeFileSync(tableFile, table.map((line) => `${line}\n`).join(''));
  writeFileSync(log, '');
  const calls = () => readFileSync(log, 'utf8').split('\n').filter(Boolean);
  // Each run with a cache of its own, unless the test is about the cache.
  const own = { cachePath: join(kit.dir, `cache-${runs}`), ...options };
  const child = spawn(process.execPath, [join(kit.dir, script), JSON.stringify(own)], {
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      LD_PRELOAD: kit.shim,
      VSMMU_SHIM_TABLE: tableFile,
      VSMMU_SHIM_LOG: log,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { process: child, calls };
}

/**
 * Runs the reader until it has asked something `times` times.
 * @returns all that the kernel's stand-in was asked, in order
 */
export async function readUntil(
  kit: LiveProbeKit,
  options: ReaderCommandOptions,
  table: readonly string[],
  { call, times }: { readonly call: string; readonly times: number },
): Promise<readonly string[]> {
  const { process: child, calls } = startChild(kit, 'reader-child.mjs', options, table);
  const ended = new Promise((resolve) => child.on('close', resolve));
  const said = collect(child.stderr);
  child.stdout.resume();
  while (calls().filter((one) => one === call).length < times && child.exitCode === null) await delay(20);
  child.kill();
  await ended;
  if (child.exitCode !== 0) throw new Error(`the reader ended with ${String(child.exitCode)}: ${await said}`);
  return calls();
}

export function startLiveProbe(
  kit: LiveProbeKit,
  options: LiveProbeOptions,
  table: readonly string[],
): RunningProbe {
  const { process: child, calls } = startChild(kit, 'live-child.mjs', options, table);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const finish = async (): Promise<LiveProbeResult> => {
    const status = await ended;
    if (status !== 0) throw new Error(`the child ended with ${String(status)}: ${await stderr}`);
    const told = JSON.parse(await stdout) as Omit<LiveProbeResult, 'calls'>;
    return { ...told, calls: calls() };
  };
  const called = async (call: string) => {
    while (!calls().includes(call) && child.exitCode === null) await delay(10);
  };
  return { done: finish(), called };
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
