import assert from 'node:assert/strict';
import { pathsOf, renderChart } from '../kubernetes/chart.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { OWN_NAMESPACE } from './installation.mjs';

const SLICES = '/apis/resource.k8s.io/v1/resourceslices';
const ACCOUNT = 'vsmmu-agent';

export const SLICE = {
  own: 'an agent’s token writes ResourceSlices of its own node and our driver: create, change, delete',
  foreign: 'it writes no other node’s slices, no other driver’s, and none of all nodes',
  unbound: 'a token of the same account that is bound to no pod writes no slice',
};

const slice = (name, nodeName, driver = 'vsmmu.io') => ({
  metadata: { name },
  spec: { driver, nodeName, pool: { name: nodeName, generation: 1, resourceSliceCount: 1 }, devices: [] },
});

/** The chart's own policy, with the account and the pod of agent.mjs. */
export async function sliceChecks(ctx, cluster) {
  const { admin } = cluster;
  const objects = await renderChart(ctx, {
    namespace: OWN_NAMESPACE,
    args: [
      ...['--set', 'agent.dra.enabled=true', '--api-versions', 'resource.k8s.io/v1'],
      ...['--api-versions', 'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy'],
    ],
  });
  const policy = objects.filter(
    ({ kind, metadata }) =>
      kind.startsWith('ValidatingAdmissionPolicy') && metadata.name.endsWith('-own-slices-only'),
  );
  assert.equal(policy.length, 2, 'policy and binding');
  for (const object of policy) await admin.create(pathsOf(object).collection, object);
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  // More than the chart gives: whatever is refused here, is refused by the policy and not for want of rights.
  const name = 'slices';
  const rules = [{ apiGroups: ['resource.k8s.io'], resources: ['resourceslices'], verbs: ['*'] }];
  await admin.create(`${rbac}/clusterroles`, { metadata: { name }, rules });
  await admin.create(`${rbac}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: OWN_NAMESPACE }],
  });
  const pod = await admin.get(`/api/v1/namespaces/${OWN_NAMESPACE}/pods/agent-gpu-7`);
  const agent = await cluster.serviceAccountClient(OWN_NAMESPACE, ACCOUNT, pod);
  const unbound = await cluster.serviceAccountClient(OWN_NAMESPACE, ACCOUNT);
  await eventually('the policy is in force', async () => {
    const body = slice('probe', 'gpu-7');
    const { status } = await unbound.exchange('POST', SLICES, { body, query: { dryRun: 'All' } });
    return status === 403;
  });
  const refused = async (client, method, path, body, pattern) => {
    const { status, body: answer } = await client.exchange(method, path, { body });
    assert.equal(status, 403, JSON.stringify(answer));
    assert.match(answer.message, pattern);
  };

  await ctx.check(SLICE.own, async () => {
    const created = await agent.create(SLICES, slice('own', 'gpu-7'));
    created.spec.pool.generation = 2;
    await agent.replace(`${SLICES}/own`, created);
    await agent.delete(`${SLICES}/own`);
  });
  await ctx.check(SLICE.foreign, async () => {
    const only = /the agent of node gpu-7 may write ResourceSlices of driver vsmmu\.io for its own node only/;
    await refused(agent, 'POST', SLICES, slice('foreign', 'gpu-8'), only);
    await refused(agent, 'POST', SLICES, slice('driver', 'gpu-7', 'gpu.example'), only);
    const everywhere = slice('everywhere', 'gpu-7');
    delete everywhere.spec.nodeName;
    everywhere.spec.allNodes = true;
    await refused(agent, 'POST', SLICES, everywhere, only);
    await admin.create(SLICES, slice('of-gpu-8', 'gpu-8'));
    await refused(agent, 'DELETE', `${SLICES}/of-gpu-8`, undefined, only);
    await admin.delete(`${SLICES}/of-gpu-8`);
  });
  await ctx.check(SLICE.unbound, () =>
    refused(unbound, 'POST', SLICES, slice('unbound', 'gpu-7'), /bound to no node/),
  );
}
