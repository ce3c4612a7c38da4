import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '../kubernetes/eventually.mjs';

export const NAMESPACE = 'vsmmu-system';
export const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/vsmmu-controller`;
const ACCOUNT = 'vsmmu-controller';

/** The rights that docs/fleet.md names, and no others. */
const CLUSTER_RULES = [
  { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch', 'patch'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
  { apiGroups: ['kubevirt.io'], resources: ['virtualmachineinstances'], verbs: ['list', 'watch'] },
  { apiGroups: ['vsmmu.io'], resources: ['nodeprofiles'], verbs: ['list', 'watch', 'delete'] },
  { apiGroups: ['vsmmu.io'], resources: ['policies', 'baselines'], verbs: ['list', 'watch'] },
  { apiGroups: ['vsmmu.io'], resources: ['baselines/status', 'policies/status'], verbs: ['patch'] },
  { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] },
];
const LEASE_RULES = [
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: ['vsmmu-controller'],
    verbs: ['get', 'update', 'patch', 'create'],
  },
];

/** A service account with the controller's rights and `more`, and a kubeconfig for it. @returns {Promise<string>} its path */
export async function controllerKubeconfig(cluster, folder, more = []) {
  const { admin } = cluster;
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const subjects = [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: NAMESPACE }];
  const named = { metadata: { name: ACCOUNT } };
  const roleRef = (kind) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name: ACCOUNT });
  await admin.create('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
  await admin.create(`/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, named);
  await admin.create(`${rbac}/clusterroles`, { ...named, rules: [...CLUSTER_RULES, ...more] });
  await admin.create(`${rbac}/clusterrolebindings`, { ...named, subjects, roleRef: roleRef('ClusterRole') });
  await admin.create(`${rbac}/namespaces/${NAMESPACE}/roles`, { ...named, rules: LEASE_RULES });
  await admin.create(`${rbac}/namespaces/${NAMESPACE}/rolebindings`, {
    ...named,
    subjects,
    roleRef: roleRef('Role'),
  });
  const { status } = await admin.create(`/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${ACCOUNT}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 7200 },
  });
  return kubeconfig(cluster, folder, 'controller', status.token);
}

export async function kubeconfig(cluster, folder, name, token) {
  const path = join(folder, `${name}.kubeconfig`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'c',
        cluster: {
          server: cluster.url,
          'certificate-authority-data': Buffer.from(cluster.ca).toString('base64'),
        },
      },
    ],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

/** One `vsmmu controller` process. */
export class Replica {
  lines = [];
  child;
  #ctx;

  constructor(ctx, file, more = []) {
    this.#ctx = ctx;
    this.child = ctx.start(
      process.execPath,
      [
        ctx.vsmmu,
        'controller',
        '--kubeconfig',
        file,
        '--namespace',
        NAMESPACE,
        '--lease-seconds',
        '3',
        ...more,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    createInterface({ input: this.child.stderr }).on('line', (line) => this.lines.push(line));
  }

  said(text) {
    return this.lines.some((line) => line.includes(text));
  }

  /** Its identity in the lease. */
  async identity() {
    const line = await eventually('the controller starts', () =>
      this.lines.find((one) => one.includes('controller started')),
    );
    return JSON.parse(line).identity;
  }

  async end(signal) {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = once(this.child, 'exit');
    this.#ctx.end(this.child, signal);
    const [status] = await exited;
    return status;
  }
}

export async function leader(cluster) {
  const lease = await cluster.admin.get(LEASE);
  return lease.spec.holderIdentity;
}
