import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value) => (value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));

/** Collects rows: a figure's median and spread, and the ratio to the floor or peer measured beside it. */
export class Measure {
  rows = [];
  notRun = [];

  /**
   * @param ratio text such as "1.4x of bare Node"
   * @param other true for a peer's or a floor's figure, which plots tell from vsmmu's
   */
  row(what, unit, values, ratio, other = false) {
    this.rows.push({
      what,
      unit,
      median: round(median(values)),
      min: round(Math.min(...values)),
      max: round(Math.max(...values)),
      ...(ratio === undefined ? {} : { ratio }),
      ...(other ? { other } : {}),
    });
  }

  /** The figure of a peer or a floor. */
  other(what, unit, values) {
    this.row(what, unit, values, undefined, true);
  }

  /** Something that could not be measured here, and why: never left out in silence. */
  skip(what, why) {
    this.notRun.push({ what, why });
  }

  /** Two series measured in turn; the ratio is that of the medians, a over b. */
  pair(unit, [nameA, a], [nameB, b]) {
    this.row(nameA, unit, a, `${round(median(a) / median(b))}x of ${nameB}`);
    this.other(nameB, unit, b);
  }

  /** One series beside a floor that has its own row already. */
  against(unit, [name, values], [floorName, floor]) {
    this.row(name, unit, values, `${round(median(values) / median(floor))}x of ${floorName}`);
  }

  /** Milliseconds a call takes, in batches of `calls`, after `warmup` calls. */
  time(fn, { rounds = 7, calls = 100, warmup = 200 } = {}) {
    for (let i = 0; i < warmup; i += 1) fn();
    return Array.from({ length: rounds }, () => {
      const begun = performance.now();
      for (let i = 0; i < calls; i += 1) fn();
      return (performance.now() - begun) / calls;
    });
  }

  /**
   * Milliseconds, those until the first output on stdout, and peak memory (MiB, maximum resident set) of whole
   * processes, the commands in turn.
   */
  async processes(commands, rounds = 7) {
    const results = commands.map(() => ({ ms: [], first: [], mib: [] }));
    for (let i = -1; i < rounds; i += 1) {
      for (const [index, command] of commands.entries()) {
        const { ms, first, mib } = await processOnce(command);
        if (i < 0) continue;
        results[index].ms.push(ms);
        if (first !== undefined) results[index].first.push(first);
        if (mib !== undefined) results[index].mib.push(mib);
      }
    }
    return results;
  }

  print() {
    const width = Math.max(0, ...this.rows.map(({ what }) => what.length));
    for (const { what, unit, median: middle, min, max, ratio } of this.rows)
      console.log(
        `  ${what.padEnd(width)}  ${middle} ${unit} (${min} to ${max})${ratio === undefined ? '' : `  ${ratio}`}`,
      );
    for (const { what, why } of this.notRun) console.log(`  not run: ${what}: ${why}`);
  }
}

/** GNU time reports the child's peak memory; without it only the time is measured. */
const GNU_TIME = '/usr/bin/time';
const hasGnuTime = existsSync(GNU_TIME);

function processOnce([file, ...args]) {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const stdio = ['ignore', 'pipe', 'pipe'];
    const child = hasGnuTime
      ? spawn(GNU_TIME, ['-f', '%M', file, ...args], { stdio })
      : spawn(file, args, { stdio });
    let first;
    child.stdout.once('data', () => (first = performance.now() - begun));
    child.stdout.resume();
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.on('error', reject);
    child.on('close', () => {
      const kib = hasGnuTime ? Number(stderr.trim().split('\n').at(-1)) : undefined;
      resolve({ ms: performance.now() - begun, first, mib: kib === undefined ? undefined : kib / 1024 });
    });
  });
}
