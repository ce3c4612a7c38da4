// Runs the benchmarks: `npm run bench` all of them, `npm run bench -- resolve start` those named.
// Each bench/<name>.mjs exports `title` and `run(measure)`; it measures both sides in the same run, several rounds in
// turn, so that a noisy machine disturbs both alike. Figures are medians with the spread; trust the ratios.
// What was measured is kept in docs/benchmarks/<name>.json with its plot, and docs/benchmarks.md shows all that is kept.
// --json FILE writes this run's figures there too; --dry keeps nothing.
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';

import { Measure } from './measure.mjs';
import { plot, renderPage } from './page.mjs';

const KEPT = 'docs/benchmarks';
const args = process.argv.slice(2);
const jsonFile = args.includes('--json') ? args[args.indexOf('--json') + 1] : undefined;
const names = args.filter((arg, index) => !arg.startsWith('--') && args[index - 1] !== '--json');
const known = await benchmarks();
const unknown = names.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`error[USAGE]: no benchmark ${unknown.join(', ')}; there are: ${known.join(', ')}`);
  process.exit(2);
}

const machine = `${cpus()[0]?.model ?? 'unknown CPU'} x ${cpus().length}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
console.log(machine);
const results = [];
for (const name of names.length > 0 ? names : known) {
  const load = loadavg()[0].toFixed(1);
  const { title, run } = await import(`./${name}.mjs`);
  console.log(`\n${name}: ${title} (load ${load})`);
  const measure = new Measure();
  const begun = performance.now();
  await run(measure);
  measure.print();
  const seconds = Math.round((performance.now() - begun) / 1000);
  const result = { name, title, machine, load, seconds, rows: measure.rows, notRun: measure.notRun };
  results.push(result);
  // Kept one by one: a later benchmark that fails loses nothing of the earlier ones.
  if (!args.includes('--dry')) await keep(result);
}
if (jsonFile !== undefined) await replace(jsonFile, `${JSON.stringify(results, null, 2)}\n`);

/** A benchmark is a file that exports `run`; the others are what benchmarks share. */
async function benchmarks() {
  const here = new URL('.', import.meta.url);
  const files = (await readdir(here)).filter((file) => file.endsWith('.mjs') && file !== 'run.mjs');
  const found = [];
  for (const file of files.sort())
    if ((await readFile(new URL(file, here), 'utf8')).includes('export async function run('))
      found.push(file.replace(/\.mjs$/, ''));
  return found;
}

async function keep(result) {
  await mkdir(KEPT, { recursive: true });
  await replace(`${KEPT}/${result.name}.json`, `${JSON.stringify(result, null, 2)}\n`);
  await replace(`${KEPT}/${result.name}.svg`, plot(result));
  const kept = (await readdir(KEPT)).filter((file) => file.endsWith('.json')).sort();
  const all = await Promise.all(
    kept.map(async (file) => JSON.parse(await readFile(`${KEPT}/${file}`, 'utf8'))),
  );
  await replace('docs/benchmarks.md', renderPage(all));
}

async function replace(file, text) {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}
