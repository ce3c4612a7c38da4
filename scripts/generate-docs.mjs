// Writes the reference pages that come from code: docs/errors.md, docs/metrics.md, docs/cli.md and others.
// With --check it only compares, and fails where a page is stale.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parse } from 'yaml';
import { compatibilityPage } from './docs/compatibility-page.mjs';
import { faultsPage } from './docs/faults-page.mjs';
import { cliPage } from './docs/cli-page.mjs';
import { configurationPage } from './docs/configuration-page.mjs';
import { crdsPage } from './docs/crds-page.mjs';
import { labelsPage } from './docs/labels-page.mjs';
import { loadCommands } from './docs/commands.mjs';
import { load } from './docs/load.mjs';
import { manPage } from './docs/man-page.mjs';

async function errorsPage() {
  const { ERROR_CODES } = await load('src/error-codes.ts');
  const rows = Object.entries(ERROR_CODES).map(
    ([code, meaning]) => `| <a id="${code.toLowerCase()}"></a>\`${code}\` | ${meaning} |`,
  );
  return [
    '# Error codes',
    '',
    'Generated from `src/error-codes.ts`. Codes are stable: a code is retired, never reused. Each error is printed with its',
    'place, cause and remedy; JSON output carries the same fields. Exit status: 0 ok, 1 findings, 2 usage, 3 unreachable or failed.',
    '',
    '| code | meaning |',
    '|---|---|',
    ...rows,
    '',
  ].join('\n');
}

async function metricsPage() {
  const { METRICS } = await load('src/kubelet/metrics.ts');
  const { WEBHOOK_METRICS } = await load('src/admission/metrics.ts');
  const { CONTROLLER_METRICS } = await load('src/cli/controller-endpoint.ts');
  const table = (metrics) => [
    '| metric | type | labels | is |',
    '|---|---|---|---|',
    ...Object.entries(metrics).map(
      ([name, { type, labels, help }]) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
    ),
  ];
  return [
    '# Metrics',
    '',
    "Generated from the tables in the code. Prometheus' text format. Label values come from",
    'the configuration and from fixed words, never from pods or VMs, so that their number is bounded.',
    '',
    '## The agent',
    '`/metrics` of `vsmmu agent --http ADDR:PORT`.',
    '',
    ...table(METRICS),
    '',
    '## The webhook',
    '`/metrics` on the port of `vsmmu webhook`, over HTTPS.',
    '',
    ...table(WEBHOOK_METRICS),
    '',
    '## The controller',
    '`/metrics` of `vsmmu controller --http ADDR:PORT`.',
    '',
    ...table(CONTROLLER_METRICS),
    '',
  ].join('\n');
}

async function configuration() {
  const { configSchema, ruleSchema, selectorSchema } = await load('src/kubelet/config/config-file.ts');
  const { TEMPLATE_FIELDS } = await load('src/kubelet/config/name-template.ts');
  return configurationPage({
    configSchema,
    ruleSchema,
    selectorSchema,
    fields: Object.keys(TEMPLATE_FIELDS),
  });
}

async function crds() {
  const folder = 'charts/vsmmu/files/crds';
  const files = (await readdir(folder)).sort();
  return crdsPage(
    await Promise.all(files.map(async (file) => parse(await readFile(`${folder}/${file}`, 'utf8')))),
  );
}

async function labels() {
  const annotations = await load('src/kubevirt/annotations.ts');
  const { BASELINE_ANNOTATION } = await load('src/fleet/effective-policy.ts');
  const { LABEL_KEYS } = await load('src/fleet/node-labels.ts');
  const { memberLabel } = await load('src/fleet/baseline-object.ts');
  const { TAINT_KEY } = await load('src/kubelet/dra/slices.ts');
  const { DRA_DRIVER } = await load('src/cluster/dra-resources.ts');
  const { DEFAULT_DOMAIN } = await load('src/kubelet/resource-name.ts');
  return labelsPage({
    annotations: { ...annotations, BASELINE_ANNOTATION },
    labelKeys: LABEL_KEYS,
    memberLabel: memberLabel(''),
    taint: TAINT_KEY,
    domain: DEFAULT_DOMAIN,
    driver: DRA_DRIVER,
  });
}

const { all: commands } = await loadCommands();
const { version } = JSON.parse(await readFile('package.json', 'utf8'));
const { COMPATIBILITY, COMBINATIONS } = await load('src/doctor/compatibility.ts');
const compatibility = { rows: Object.values(COMPATIBILITY), combinations: COMBINATIONS };
const pages = {
  'docs/errors.md': await errorsPage(),
  'docs/metrics.md': await metricsPage(),
  'docs/cli.md': cliPage(commands),
  'docs/configuration.md': await configuration(),
  'docs/crds.md': await crds(),
  'docs/labels.md': await labels(),
  'docs/compatibility.md': compatibilityPage(compatibility),
  'docs/compatibility.json': `${JSON.stringify(compatibility, null, 2)}\n`,
  'docs/man/vsmmu.1': manPage(commands, version),
};
const json = async (file) => JSON.parse(await readFile(file, 'utf8'));
pages['docs/faults.md'] = faultsPage(await json('docs/faults.json'), await json('docs/faults-results.json'));
const check = process.argv.includes('--check');
let stale = 0;
for (const [file, text] of Object.entries(pages)) {
  const old = await readFile(file, 'utf8').catch(() => '');
  if (old === text) continue;
  if (check) {
    stale += 1;
    console.error(`${file} is stale: run npm run docs`);
  } else {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    console.log(`wrote ${file}`);
  }
}
process.exitCode = stale === 0 ? 0 : 1;
