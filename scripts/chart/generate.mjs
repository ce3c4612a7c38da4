#!/usr/bin/env node
// npm run chart: writes what comes from the chart's values: their schema, the chart's README, manifests/.
// With --check it compares and fails where something is stale.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findHelm } from './helm.mjs';
import { manifests } from './manifests.mjs';
import { readmeOf } from './readme.mjs';
import { schemaOf } from './schema.mjs';
import { describeValues } from './values.mjs';

const check = process.argv.includes('--check');
const values = describeValues(await readFile('charts/vsmmu/values.yaml', 'utf8'));
let stale = 0;

// The schema is in force when manifests are rendered, so it comes first.
await settle('charts/vsmmu/values.schema.json', `${JSON.stringify(schemaOf(values), null, 2)}\n`);
const template = await readFile('scripts/chart/readme.template.md', 'utf8');
await settle('charts/vsmmu/README.md', readmeOf(template, values));
if (findHelm() === undefined) {
  console.log(`not run: manifests/ (no Helm for ${process.platform} ${process.arch})`);
} else {
  const files = manifests();
  for (const [file, text] of Object.entries(files)) await settle(file, text);
  for (const name of await readdir('manifests', { recursive: true })) {
    const file = `manifests/${name}`;
    if (/\.ya?ml$/.test(name) && !(file in files)) await remove(file);
  }
}
process.exitCode = stale === 0 ? 0 : 1;

async function settle(file, text) {
  const old = await readFile(file, 'utf8').catch(() => undefined);
  if (old === text) return;
  if (check) return complain(file);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  console.log(`wrote ${file}`);
}

async function remove(file) {
  if (check) return complain(file);
  await rm(file);
  console.log(`removed ${file}`);
}

function complain(file) {
  stale += 1;
  console.error(`${file} is stale: run npm run chart`);
}
