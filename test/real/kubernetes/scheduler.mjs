import { join } from 'node:path';
import { goProgram } from './go-program.mjs';
import { writeKubeconfig } from './kubeconfig.mjs';

/**
 * The real kube-scheduler against a cluster: it allocates ResourceClaims with its structured allocator and CEL, and
 * binds the pods. It ends with the suite.
 * @param {import('../lib/context.mjs').Context} ctx @param {import('./cluster.mjs').Cluster} cluster
 * @param {string} folder for its kubeconfig
 */
export async function startScheduler(ctx, cluster, folder) {
  const program = await goProgram(ctx, 'kube-scheduler');
  const kubeconfig = await writeKubeconfig(cluster, join(folder, 'scheduler.kubeconfig'));
  const scheduler = ctx.start(program, [
    `--kubeconfig=${kubeconfig}`,
    '--leader-elect=false',
    '--secure-port=0',
  ]);
  scheduler.log = '';
  for (const stream of [scheduler.stdout, scheduler.stderr]) {
    stream.on('data', (text) => (scheduler.log = (scheduler.log + text).slice(-20_000)));
  }
  return scheduler;
}

/** A node that the scheduler likes. @returns {Promise<any>} */
export async function createNode(cluster, name, labels = {}) {
  const node = await cluster.admin.create('/api/v1/nodes', { metadata: { name, labels } });
  const resources = { cpu: '64', memory: '256Gi', pods: '110' };
  const condition = {
    type: 'Ready',
    status: 'True',
    reason: 'Test',
    lastHeartbeatTime: new Date().toISOString(),
  };
  await cluster.admin.patch(`/api/v1/nodes/${name}/status`, 'merge', {
    status: { capacity: resources, allocatable: resources, conditions: [condition] },
  });
  // Every new node is tainted as not ready; the controller that takes the taint away is not there.
  await cluster.admin.patch(`/api/v1/nodes/${name}`, 'merge', { spec: { taints: null } });
  return node;
}
