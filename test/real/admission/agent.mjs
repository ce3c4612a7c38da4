import assert from 'node:assert/strict';
import { join } from 'node:path';
import { eventually } from '../kubernetes/eventually.mjs';
import { OWN_NAMESPACE } from './installation.mjs';

const PROFILES = '/apis/vsmmu.io/v1alpha1/nodeprofiles';
const ACCOUNT = 'vsmmu-agent';

export const AGENT = {
  own: 'an agent’s token writes the NodeProfile of its own node: create, change, status',
  foreign: 'it writes no other node’s: not create, not change, not status, not delete',
  unbound: 'a token of the same account that is bound to no pod writes none',
  others: 'an administrator is none of the policy’s business',
};

/** The demo's host as a node's agent reports it. */
export async function reportOf(ctx, product, host = 'two-gpu-host') {
  const source = await product.openHost({ host: join(ctx.root, 'src', 'cli', 'demo', host) });
  try {
    return await product.probeHost(source, { signal: ctx.signal });
  } finally {
    await source.close();
  }
}

export function publisherOf(product, cluster, node) {
  const log = Object.fromEntries(['debug', 'info', 'warn', 'error'].map((level) => [level, () => undefined]));
  const access = product.staticAccess(cluster.url, { ca: cluster.ca, token: cluster.adminToken });
  return new product.ProfilePublisher({ client: new product.KubeClient(access), node, log });
}

export async function agentChecks(ctx, cluster, product) {
  const { admin } = cluster;
  await prepare(cluster, product);
  await publisherOf(product, cluster, 'gpu-8').publish(await reportOf(ctx, product), ctx.signal);
  const template = await admin.get(`${PROFILES}/gpu-8`);
  const profile = (node, kernel = '6.18') => ({
    apiVersion: template.apiVersion,
    kind: template.kind,
    metadata: { name: node },
    spec: { ...template.spec, node, kernel },
  });
  const pod = await admin.get(`/api/v1/namespaces/${OWN_NAMESPACE}/pods/agent-gpu-7`);
  const agent = await cluster.serviceAccountClient(OWN_NAMESPACE, ACCOUNT, pod);
  const unbound = await cluster.serviceAccountClient(OWN_NAMESPACE, ACCOUNT);
  // A policy takes a moment to be in force; a test that came before would show nothing.
  await eventually('the policy is in force', async () => {
    const { status } = await unbound.exchange('POST', PROFILES, {
      body: profile('gpu-7'),
      query: { dryRun: 'All' },
    });
    return status === 403;
  });
  const refused = async (client, method, path, options, pattern) => {
    const { status, body } = await client.exchange(method, path, options);
    assert.equal(status, 403, JSON.stringify(body));
    assert.match(body.message, pattern);
  };
  const apply = {
    contentType: 'application/apply-patch+yaml',
    query: { fieldManager: 'vsmmu-agent', force: 'true' },
  };

  await ctx.check(AGENT.own, async () => {
    await agent.create(PROFILES, profile('gpu-7'));
    await agent.request('PATCH', `${PROFILES}/gpu-7`, { body: profile('gpu-7', '6.19'), ...apply });
    const { metadata, ...rest } = profile('gpu-7');
    const status = {
      apiVersion: rest.apiVersion,
      kind: rest.kind,
      metadata,
      status: { renewedAt: new Date().toISOString() },
    };
    await agent.request('PATCH', `${PROFILES}/gpu-7/status`, { body: status, ...apply });
    assert.equal((await admin.get(`${PROFILES}/gpu-7`)).spec.kernel, '6.19');
  });
  await ctx.check(AGENT.foreign, async () => {
    const only = /the agent of node gpu-7 may write its own NodeProfile only, not gpu-[89]/;
    await refused(agent, 'POST', PROFILES, { body: profile('gpu-9') }, only);
    await refused(agent, 'PATCH', `${PROFILES}/gpu-8`, { body: profile('gpu-8', 'lie'), ...apply }, only);
    const status = { ...profile('gpu-8'), spec: undefined, status: { renewedAt: 'now' } };
    await refused(agent, 'PATCH', `${PROFILES}/gpu-8/status`, { body: status, ...apply }, only);
    await refused(agent, 'DELETE', `${PROFILES}/gpu-8`, {}, only);
    assert.equal((await admin.get(`${PROFILES}/gpu-8`)).spec.kernel, template.spec.kernel);
  });
  await ctx.check(AGENT.unbound, () =>
    refused(
      unbound,
      'PATCH',
      `${PROFILES}/gpu-7`,
      { body: profile('gpu-7', 'lie'), ...apply },
      /bound to no node/,
    ),
  );
  await ctx.check(AGENT.others, () => admin.delete(`${PROFILES}/gpu-7`));
  await admin.delete(`${PROFILES}/gpu-8`);
}

async function prepare(cluster, product) {
  const { admin } = cluster;
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  await admin.create(`/api/v1/namespaces/${OWN_NAMESPACE}/serviceaccounts`, { metadata: { name: ACCOUNT } });
  // More than the chart gives: whatever is refused here, is refused by the policy and not for want of rights.
  await admin.create(`${rbac}/clusterroles`, {
    metadata: { name: ACCOUNT },
    rules: [{ apiGroups: ['vsmmu.io'], resources: ['nodeprofiles', 'nodeprofiles/status'], verbs: ['*'] }],
  });
  await admin.create(`${rbac}/clusterrolebindings`, {
    metadata: { name: ACCOUNT },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: ACCOUNT },
    subjects: [{ kind: 'ServiceAccount', name: ACCOUNT, namespace: OWN_NAMESPACE }],
  });
  const { policy, binding } = product.agentPolicy({
    name: 'vsmmu-own-node-profile',
    namespace: OWN_NAMESPACE,
    serviceAccount: ACCOUNT,
  });
  const registration = '/apis/admissionregistration.k8s.io/v1';
  await admin.create(`${registration}/validatingadmissionpolicies`, policy);
  await admin.create(`${registration}/validatingadmissionpolicybindings`, binding);
  await admin.create('/api/v1/nodes', { metadata: { name: 'gpu-7' } });
  await admin.create(`/api/v1/namespaces/${OWN_NAMESPACE}/pods`, {
    metadata: { name: 'agent-gpu-7' },
    spec: {
      nodeName: 'gpu-7',
      serviceAccountName: ACCOUNT,
      containers: [{ name: 'agent', image: 'registry.example/vsmmu:test' }],
    },
  });
}
