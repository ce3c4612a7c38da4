import { cpus, loadavg } from 'node:os';

import type { ApiStore } from './api-store.js';
import type { Tally } from './churn.js';
import type { ProgramSeries } from './program.js';
import type { Programs } from './programs.js';
import { judge, median, type Judged, type Limit } from './verdict.js';

const LIMITS: Readonly<Partial<Record<keyof ProgramSeries, Limit>>> = {
  live: { what: 'live memory', unit: 'MiB', growth: 1 },
  anonymous: { what: 'anonymous memory', unit: 'MiB', growth: 4 },
  fds: { what: 'file descriptors', unit: '', growth: 4 },
  timers: { what: 'timers', unit: '', growth: 4 },
  handles: { what: 'other handles', unit: '', growth: 6 },
};

export interface Result {
  readonly verdict: 'flat' | 'not flat';
  readonly minutes: number;
  readonly node: string;
  readonly cpus: number;
  readonly load: number;
  readonly did: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly exitStatuses: readonly (number | null)[];
  readonly programs: Readonly<
    Record<
      string,
      {
        readonly judged: readonly Judged[];
        readonly rss: Spread;
        readonly loopMs: { readonly p99: number; readonly max: number };
        readonly series: ProgramSeries;
      }
    >
  >;
}
interface Spread {
  readonly median: number;
  readonly max: number;
}

export function report(
  programs: Programs,
  { minutes, tally, store }: { readonly minutes: number; readonly tally: Tally; readonly store: ApiStore },
): Omit<Result, 'verdict' | 'exitStatuses'> {
  const each = Object.entries(programs).map(([name, program]) => {
    const series = program.series();
    const rss = series.rss.map(({ value }) => value);
    const judged = Object.entries(LIMITS).map(([key, limit]) =>
      judge(series[key as keyof ProgramSeries], limit),
    );
    const loopMs = {
      p99: median(series.loopP99.map(({ value }) => value)),
      max: Math.max(...series.loopMax.map(({ value }) => value)),
    };
    return [name, { judged, rss: { median: median(rss), max: Math.max(...rss) }, loopMs, series }] as const;
  });
  return {
    minutes,
    node: process.version,
    cpus: cpus().length,
    load: loadavg()[1] ?? 0,
    did: {
      ...tally.counts,
      'requests to the API server': store.requests,
      'of them answered by a fault': store.faults,
    },
    failures: tally.failures,
    programs: Object.fromEntries(each),
  };
}

export function print({
  verdict,
  minutes,
  did,
  failures,
  programs,
  load,
  cpus: count,
  node,
  exitStatuses,
}: Result): void {
  const line = (text: string) => process.stdout.write(`${text}\n`);
  line(`${minutes} minutes on ${count} CPUs, load ${load.toFixed(1)}, Node ${node}`);
  line(
    Object.entries(did)
      .map(([what, times]) => `${what}: ${times}`)
      .join(', '),
  );
  for (const [name, { judged, rss, loopMs }] of Object.entries(programs)) {
    line(
      `\n${name}: RSS ${rss.median.toFixed(1)} MiB, at most ${rss.max.toFixed(1)}; event loop late by ${loopMs.p99.toFixed(1)} ms (p99), at most ${loopMs.max.toFixed(0)}`,
    );
    for (const { what, unit, early, late, grown, flat, samples, growth } of judged)
      line(
        `  ${flat ? 'flat ' : 'GROWS'}  ${what.padEnd(18)} ${early.toFixed(1)} -> ${late.toFixed(1)} ${unit} (trend adds ${grown.toFixed(2)}, may add ${growth}; ${samples} samples)`,
      );
  }
  for (const failure of failures) line(`failed: ${failure}`);
  line(`\nexit statuses: ${exitStatuses.join(', ')}\nverdict: ${verdict}`);
}
