// Runs the benchmarks: `npm run bench` all of them, `npm run bench -- resolve start` those named.
// Each bench/<name>.mjs exports `title` and `run(measure)`; it measures both sides in the same run, several rounds in
// turn, so that a noisy machine disturbs both alike. Figures are medians with the spread; trust the ratios.
// With --json FILE the results are also written there; with --docs docs/benchmarks.md is written.
import { readdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';

import { Measure } from './measure.mjs';

const args = process.argv.slice(2);
const jsonFile = args.includes('--json') ? args[args.indexOf('--json') + 1] : undefined;
const names = args.filter((arg, index) => !arg.startsWith('--') && args[index - 1] !== '--json');
const known = (await readdir(new URL('.', import.meta.url)))
  .filter((file) => file.endsWith('.mjs') && !['run.mjs', 'measure.mjs'].includes(file))
  .map((file) => file.replace(/\.mjs$/, ''))
  .sort();
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
  await run(measure);
  measure.print();
  results.push({ name, title, load, rows: measure.rows, notRun: measure.notRun });
}
if (jsonFile !== undefined) await writeFile(jsonFile, `${JSON.stringify({ machine, results }, null, 2)}\n`);
if (args.includes('--docs')) await writeFile('docs/benchmarks.md', page());

function page() {
  const sections = results.map(({ name, title, load, rows, notRun }) =>
    [
      `## ${name}: ${title}`,
      `Load average at the start: ${load}.`,
      '',
      '| what | median | min | max | ratio |',
      '|---|---|---|---|---|',
      ...rows.map(
        (row) => `| ${row.what} | ${row.median} ${row.unit} | ${row.min} | ${row.max} | ${row.ratio ?? ''} |`,
      ),
      ...notRun.map(({ what, why }) => `\nNot run: ${what}: ${why}`),
      '',
    ].join('\n'),
  );
  return `# Benchmarks\nWritten by \`npm run bench -- --docs\` on ${machine}. Both sides of a ratio were measured in one run, in turn.\n\n${sections.join('\n')}`;
}
