#!/usr/bin/env node
// node scripts/chart/pin.mjs OUT IMAGE@DIGEST: a copy of the chart for a release, which names its image by digest and
// refuses to put another kind of hook beside VMs. The chart in the repository names none, because none is published.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';

const [out, image = ''] = process.argv.slice(2);
const [, registry, repository, digest] = /^([^/]+\.[^/]+)\/(.+)@(sha256:[0-9a-f]{64})$/.exec(image) ?? [];
if (out === undefined || digest === undefined) {
  console.error('usage: node scripts/chart/pin.mjs OUT REGISTRY/REPOSITORY@sha256:DIGEST');
  process.exit(2);
}
const { version } = JSON.parse(await readFile('package.json', 'utf8'));
await cp('charts/vsmmu', out, { recursive: true });
await edit('Chart.yaml', {
  version,
  appVersion: version,
  'annotations.artifacthub.io/images': `- name: vsmmu\n  image: ${image}\n`,
});
await edit('values.yaml', {
  'image.registry': registry,
  'image.repository': repository,
  'image.digest': digest,
  'hook.requireDigest': true,
});
console.log(out);

/** Sets values that are there already; comments stay. A name with dots of its own comes last. */
async function edit(name, values) {
  const file = join(out, name);
  const document = parseDocument(await readFile(file, 'utf8'));
  for (const [key, value] of Object.entries(values)) {
    const path = key.startsWith('annotations.') ? ['annotations', key.slice(12)] : key.split('.');
    if (path[0] !== 'annotations' && !document.hasIn(path)) throw new Error(`${file} has no ${key}`);
    document.setIn(path, value);
  }
  await writeFile(file, document.toString({ lineWidth: 0 }));
}
