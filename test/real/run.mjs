#!/usr/bin/env node
// npm run test:real [-- SUITE...]: vsmmu against the real things (libvirt, QEMU, kernels, Kubernetes).
// See README.md for how to write a suite.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Context } from './lib/context.mjs';
import { Ledger, NotRun } from './lib/outcome.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const cache = join(root, '.cache', 'real');
const write = (text) => process.stdout.write(text);

const budgetMinutes = Number(process.env.VSMMU_REAL_MINUTES ?? 40);
if (!(budgetMinutes > 0))
  usage(`VSMMU_REAL_MINUTES=${process.env.VSMMU_REAL_MINUTES}: must be a number of minutes above 0`);
const deadline = performance.now() + budgetMinutes * 60_000;
const minutesLeft = () => (deadline - performance.now()) / 60_000;

const suites = await discover(process.argv.slice(2));
const vsmmu = build();
const ledger = new Ledger(write);
let running; // the context whose programs must not outlive an interrupt: they lead their own process groups
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    running?.close();
    write(ledger.summary());
    process.exit(3);
  });
}
for (const suite of suites) await runSuite(suite);
keepResults();
write(ledger.summary());
process.exit(ledger.count('failed') > 0 ? 1 : 0);

/** The last result of each check, for docs/faults.md (npm run faults); one that could not be run keeps its former one. */
function keepResults() {
  const file = join(cache, 'results.json');
  const results = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const at = new Date().toISOString().slice(0, 10);
  for (const { suite, check, outcome } of ledger.results)
    if (outcome !== 'not run') results[`${suite} > ${check}`] = { outcome, at };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

/** All suites, the quickest first, so that a small budget shows as much as it can; or those named, in that order. */
async function discover(wanted) {
  const folders = readdirSync(here).filter((name) => existsSync(join(here, name, 'suite.mjs')));
  const unknown = wanted.filter((name) => !folders.includes(name));
  if (unknown.length > 0) usage(`no such suite: ${unknown.join(', ')}; there are: ${folders.join(', ')}`);
  const suites = [];
  for (const name of wanted.length > 0 ? wanted : folders) {
    const { suite } = await import(pathToFileURL(join(here, name, 'suite.mjs')).href);
    suites.push(suite);
  }
  return wanted.length > 0 ? suites : suites.sort((a, b) => a.timeoutMinutes - b.timeoutMinutes);
}

async function runSuite(suite) {
  write(`\n${suite.name}: ${suite.needs}\n`);
  const planned = suite.checks ?? [];
  const limit = Math.min(suite.timeoutMinutes, minutesLeft());
  const controller = new AbortController();
  const ctx = new Context({
    root,
    vsmmu,
    suite: suite.name,
    ledger,
    cache,
    signal: controller.signal,
    write,
    planned: planned.length > 0 ? planned : ['everything'],
    endsAt: performance.now() + limit * 60_000,
  });
  if (limit <= 0)
    return closeSuite(
      ctx,
      suite,
      `the time for all suites, ${budgetMinutes} minutes, is used up (VSMMU_REAL_MINUTES)`,
    );
  const overtime = new NotRun(
    limit < suite.timeoutMinutes
      ? `the time for all suites, ${budgetMinutes} minutes, ran out (VSMMU_REAL_MINUTES)`
      : `the suite's own time, ${suite.timeoutMinutes} minutes, ran out`,
  );
  running = ctx;
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => {
      controller.abort(overtime);
      reject(overtime);
    }, limit * 60_000);
  });
  let why = 'the suite ended without reaching it';
  try {
    const run = suite.run(ctx);
    run.catch(() => undefined); // when time runs out, what the suite then throws is of no interest
    await Promise.race([run, expired]);
    if (planned.length === 0) return ctx.close();
  } catch (error) {
    why = error instanceof NotRun ? error.message : 'the suite broke off, see "preparation"';
    if (!(error instanceof NotRun)) await ctx.check('preparation', () => Promise.reject(error));
  } finally {
    clearTimeout(timer);
  }
  closeSuite(ctx, suite, why);
}

/** Whatever was planned and has no result is named as not run. */
function closeSuite(ctx, suite, why) {
  ctx.close();
  for (const name of ctx.unreached()) {
    ledger.add({ suite: suite.name, check: name, outcome: 'not run', why, seconds: 0 });
  }
}

/**
 * The suites run a copy of the built program, built first where it is missing or older than its source: a build
 * that someone starts meanwhile must not take it from under a running suite.
 */
function build() {
  mkdirSync(cache, { recursive: true });
  const built = join(root, 'dist');
  const program = join(built, 'vsmmu.js');
  const builtAt = existsSync(program) ? statSync(program).mtimeMs : 0;
  const newest = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce(
      (latest, entry) => Math.max(latest, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs),
      0,
    );
  if (builtAt < newest) {
    const { status } = spawnSync(process.execPath, ['scripts/build.mjs'], { cwd: root, stdio: 'inherit' });
    if (status !== 0) usage('the build failed (npm run build)');
  }
  const copy = mkdtempSync(join(cache, 'dist-'));
  process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
  cpSync(built, copy, { recursive: true });
  return join(copy, 'vsmmu.js');
}

function usage(message) {
  process.stderr.write(`test:real: ${message}\n`);
  process.exit(2);
}
