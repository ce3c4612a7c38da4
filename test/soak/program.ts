import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Series } from './verdict.js';

/** What a program is started in: the made-up host, a service account, and how often it is looked at. */
export interface Surroundings {
  readonly dir: string;
  readonly vsmmu: string;
  readonly inside: string;
  readonly apiUrl: string;
  readonly sampleMs: number;
  readonly collectEvery: number;
}

interface OwnSample {
  readonly at: number;
  readonly collected: boolean;
  readonly heapTotal: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly anonymous: number;
  readonly timers: number;
  readonly handles: number;
  readonly loop: { readonly p50: number; readonly p99: number; readonly max: number };
}

export interface ProgramSeries {
  /** MiB in use after a full collection, buffers included. */
  readonly live: Series;
  /** MiB of the process' own memory right after that collection: live, kept by V8 for later, or the allocator's. */
  readonly anonymous: Series;
  /** MiB of live memory that are objects, without buffers. */
  readonly objects: Series;
  /** MiB that V8 has of it for its heap, used or not. */
  readonly heap: Series;
  readonly rss: Series;
  readonly fds: Series;
  readonly timers: Series;
  readonly handles: Series;
  /** Milliseconds; the 99th percentile and the worst of each interval. */
  readonly loopP99: Series;
  readonly loopMax: Series;
}

const MIB = 1024 * 1024;
/** The host's /sys, /dev/vfio and a pod's account over this machine's own, in a mount namespace of the program's. */
const NAMESPACE = [
  'mount --rbind "$0/host/sys" /sys',
  'mount -t tmpfs none /dev',
  'mknod /dev/null c 1 3 && mknod /dev/zero c 1 5 && mknod /dev/random c 1 8 && mknod /dev/urandom c 1 9',
  'mkdir /dev/vfio && mount --bind "$0/host/dev/vfio" /dev/vfio && touch /dev/iommu',
  'mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount',
  'mount --bind "$0/account" /run/secrets/kubernetes.io/serviceaccount',
  'exec "$@"',
].join(' && ');

/** One long-running program of vsmmu as it is shipped, watched from inside and from outside. */
export class Program {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #samples: string;
  readonly #outside: { at: number; rss: number; fds: number }[] = [];
  #said = '';
  #written = '';

  /** @param semiSpaceMiB of the image's or the chart's NODE_OPTIONS, which charts/vsmmu/templates/_pod.tpl tells */
  constructor(
    name: string,
    { args, semiSpaceMiB }: { readonly args: readonly string[]; readonly semiSpaceMiB: 1 | 2 },
    { dir, vsmmu, inside, apiUrl, sampleMs, collectEvery }: Surroundings,
  ) {
    this.name = name;
    this.#samples = join(dir, `${name}.samples`);
    const { hostname, port } = new URL(apiUrl);
    this.#child = spawn(
      'unshare',
      ['--mount', '/bin/sh', '-c', NAMESPACE, dir, process.execPath, '--require', inside, vsmmu, ...args],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: process.env['PATH'],
          NODE_ENV: 'production',
          NODE_OPTIONS: `--max-semi-space-size=${semiSpaceMiB}`,
          KUBERNETES_SERVICE_HOST: hostname,
          KUBERNETES_SERVICE_PORT: port,
          CONTAINER_NAME: 'hook-sidecar-0',
          SOAK_SAMPLES: this.#samples,
          SOAK_SAMPLE_MS: String(sampleMs),
          SOAK_COLLECT_EVERY: String(collectEvery),
        },
      },
    );
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.#written += chunk.toString()));
    this.#child.stderr?.on(
      'data',
      (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-4000)),
    );
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The end of its log. */
  get said(): string {
    return this.#said;
  }

  get written(): string {
    return this.#written;
  }

  /** Memory and files as /proc tells them; nothing of a program that has ended. */
  sample(): void {
    const proc = `/proc/${this.#child.pid ?? 0}`;
    let rollup: string;
    let fds: number;
    try {
      rollup = readFileSync(`${proc}/smaps_rollup`, 'utf8');
      fds = readdirSync(`${proc}/fd`).length;
    } catch {
      return;
    }
    const rss = Number(/^Rss:\s+(\d+) kB/m.exec(rollup)?.[1]) / 1024;
    this.#outside.push({ at: Date.now(), rss, fds });
  }

  series(): ProgramSeries {
    const own = existsSync(this.#samples)
      ? readFileSync(this.#samples, 'utf8')
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line) as OwnSample)
      : [];
    const inside = (value: (sample: OwnSample) => number): Series =>
      own.map((sample) => ({ at: sample.at, value: value(sample) }));
    const outside = (field: 'rss' | 'fds'): Series =>
      this.#outside.map((sample) => ({ at: sample.at, value: sample[field] }));
    const collected = own.filter((sample) => sample.collected);
    return {
      live: collected.map(({ at, heapUsed, external }) => ({ at, value: (heapUsed + external) / MIB })),
      anonymous: collected.map(({ at, anonymous }) => ({ at, value: anonymous / MIB })),
      objects: collected.map(({ at, heapUsed }) => ({ at, value: heapUsed / MIB })),
      heap: collected.map(({ at, heapTotal }) => ({ at, value: heapTotal / MIB })),
      rss: outside('rss'),
      fds: outside('fds'),
      timers: inside(({ timers }) => timers),
      handles: inside(({ handles }) => handles),
      loopP99: inside(({ loop }) => loop.p99),
      loopMax: inside(({ loop }) => loop.max),
    };
  }

  /** Asks it to stop, as Kubernetes does. @returns its exit status; null where it had to be killed */
  async stop(): Promise<number | null> {
    if (!this.running) return this.#child.exitCode;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 30_000);
    const [status] = (await exited) as [number | null];
    clearTimeout(timer);
    return status;
  }
}
