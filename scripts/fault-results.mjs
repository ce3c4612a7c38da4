// npm run faults: runs the jest tests that docs/faults.json names, takes the last results of the real suites, and writes
// docs/faults-results.json; npm run docs then writes the page.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const RESULTS = 'docs/faults-results.json';
const rows = JSON.parse(readFileSync('docs/faults.json', 'utf8'));
const { results } = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : { results: {} };
const named = rows.flatMap(({ tests }) => tests);
const today = new Date().toISOString().slice(0, 10);

// --real-only leaves the jest tests' last results as they are.
const files = new Set(named.map(([place]) => place).filter((place) => !place.startsWith('real:')));
const jest = process.argv.includes('--real-only') ? [] : runJest([...files]);
const realFile = '.cache/real/results.json';
const real = existsSync(realFile) ? JSON.parse(readFileSync(realFile, 'utf8')) : {};
for (const [place, name] of named) {
  const last = place.startsWith('real:')
    ? real[`${place.slice('real:'.length)} > ${name}`]
    : jestResult(jest, place, name);
  if (last !== undefined) results[`${place} > ${name}`] = last;
}
const known = new Set(named.map((test) => test.join(' > ')));
const kept = Object.fromEntries(
  Object.entries(results)
    .filter(([key]) => known.has(key))
    .sort(([a], [b]) => (a < b ? -1 : 1)),
);
writeFileSync(RESULTS, `${JSON.stringify({ results: kept }, null, 2)}\n`);

function runJest(files) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-faults-'));
  const outputFile = join(dir, 'jest.json');
  spawnSync(
    process.execPath,
    [
      '--experimental-vm-modules',
      'node_modules/jest/bin/jest.js',
      '--json',
      `--outputFile=${outputFile}`,
      ...files,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const { testResults } = JSON.parse(readFileSync(outputFile, 'utf8'));
  rmSync(dir, { recursive: true });
  return testResults;
}

/** A name with %s stands for all tests of a table: passed where every one has passed. */
function jestResult(testResults, file, name) {
  const pattern = new RegExp(
    name
      .split('%s')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*'),
  );
  const outcomes = testResults
    .filter((one) => one.name.endsWith(file))
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ fullName }) => pattern.test(fullName))
    .map(({ status }) => status);
  if (outcomes.length === 0) return undefined;
  return { outcome: outcomes.every((status) => status === 'passed') ? 'passed' : 'failed', at: today };
}
