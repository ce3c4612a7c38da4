import assert from 'node:assert/strict';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../kubernetes/eventually.mjs';
import { helmOn, NAMESPACE, packagedHelm } from './helm-program.mjs';
import { PlayedKubelet } from './played-kubelet.mjs';

const upgrade = 'helm upgrade keeps the webhook’s authority and bundle, and changes its Deployment in place';
const rollback = 'helm rollback brings the old objects back';
const keeps = 'helm upgrade brings CRDs up to date and keeps their objects';
const first = 'helm uninstall removes the webhook configurations before anything else';
const uninstall = 'helm uninstall leaves the CRDs alone, and nothing else: no label on a node either';
const nothing = 'helm uninstall leaves nothing with crds.keep=false';
const previous = 'an upgrade from the previous version, and a rollback to it, keep objects';
const old = 'Helm 3.10 installs, upgrades, rolls back and uninstalls the same';
export const UPGRADES = [upgrade, rollback, keeps];
export const REMOVAL = [first, uninstall, nothing, previous, old];

const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const CRDS = ['baselines.vsmmu.io', 'nodeprofiles.vsmmu.io', 'policies.vsmmu.io'];
const POLICIES = '/apis/vsmmu.io/v1alpha1/policies';
const MUTATING = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vsmmu-webhook';
const DEPLOYMENT = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/vsmmu-webhook`;

/** Of an installed release whose webhook has filled its Secret. */
export async function checkUpgrades(test) {
  const { ctx, cluster } = test;
  const secretOf = async () =>
    (await cluster.admin.get(`/api/v1/namespaces/${NAMESPACE}/secrets/vsmmu-webhook-certificates`)).data;
  await ctx.check(upgrade, async () => {
    const before = await secretOf();
    assert.ok(before['ca.crt'].length > 0, 'the webhook has filled its Secret');
    const bundleOf = async () =>
      (await cluster.admin.get(MUTATING)).webhooks.map(({ clientConfig }) => clientConfig.caBundle);
    const bundle = await bundleOf();
    const { metadata } = await cluster.admin.get(DEPLOYMENT);
    const values = ['webhook.replicas=3', 'webhook.timeoutSeconds=5'].flatMap((one) => ['--set', one]);
    await helmOn(test, ['upgrade', 'vsmmu', test.chart, ...values]);
    assert.deepEqual(await secretOf(), before);
    assert.deepEqual(await bundleOf(), bundle);
    const { webhooks } = await cluster.admin.get(MUTATING);
    assert.deepEqual(
      webhooks.map(({ timeoutSeconds }) => timeoutSeconds),
      [5, 5],
    );
    const after = await cluster.admin.get(DEPLOYMENT);
    assert.equal(after.spec.replicas, 3);
    assert.equal(after.metadata.uid, metadata.uid, 'the Deployment was replaced');
  });
  await ctx.check(rollback, async () => {
    const before = await secretOf();
    await helmOn(test, ['rollback', 'vsmmu', '1']);
    assert.equal((await cluster.admin.get(DEPLOYMENT)).spec.replicas, 2);
    assert.deepEqual(await secretOf(), before);
  });
  await ctx.check(keeps, async () => {
    const path = `${CRD_PATH}/policies.vsmmu.io`;
    await cluster.admin.create(POLICIES, {
      apiVersion: 'vsmmu.io/v1alpha1',
      kind: 'Policy',
      metadata: { name: 'kept' },
      spec: { priority: 7, unknownAts: 'no' },
    });
    // As an older chart would have left it: without a description.
    await cluster.admin.patch(path, 'json', [
      { op: 'remove', path: '/spec/versions/0/schema/openAPIV3Schema/description' },
    ]);
    await helmOn(test, ['upgrade', 'vsmmu', test.chart, '--server-side=true', '--force-conflicts']);
    const { spec } = await cluster.admin.get(path);
    assert.ok(spec.versions[0].schema.openAPIV3Schema.description.length > 0);
    assert.equal((await cluster.admin.get(`${POLICIES}/kept`)).spec.priority, 7);
  });
}

/** From an installed release to nothing, and to nothing again from a previous version and by another Helm. */
export async function checkRemoval(test) {
  const { ctx, cluster } = test;
  const kubelet = new PlayedKubelet(cluster, ctx.vsmmu, NAMESPACE);
  try {
    await checkUninstall(test, kubelet);
    await ctx.check(previous, () => checkPrevious(test));
    await ctx.check(old, () => checkOldHelm(test));
  } finally {
    await kubelet.stop();
  }
}

async function checkUninstall(test, kubelet) {
  const { ctx, cluster } = test;
  const seen = [];
  kubelet.onPod = async (name) => {
    const status = async (path) => (await cluster.admin.exchange('GET', path)).status;
    seen.push([name, await status(MUTATING), await status(DEPLOYMENT)]);
  };
  // What earlier checks took away comes back.
  await helmOn(test, ['upgrade', 'vsmmu', test.chart]);
  const labelled = await cluster.admin.get('/api/v1/nodes/node1');
  assert.ok(ourLabels(labelled).length > 0, 'the controller has labelled node1');
  await ctx.check(first, async () => {
    await helmOn(test, ['uninstall', 'vsmmu']);
    assert.deepEqual(seen, [
      ['vsmmu-pre-delete-0', 200, 200],
      ['vsmmu-post-delete-0', 404, 404],
    ]);
    assert.match(
      kubelet.printed.get('vsmmu-pre-delete-0'),
      /^mutatingwebhookconfigurations vsmmu-webhook: removed$/m,
    );
    assert.match(kubelet.printed.get('vsmmu-post-delete-0'), /^nodes: labels removed from 1$/m);
  });
  await ctx.check(uninstall, async () =>
    assert.deepEqual(
      await leftOvers(cluster),
      CRDS.map((name) => `${CRD_PATH} ${name}`),
    ),
  );
  await ctx.check(nothing, async () => {
    // Installed anew over the kept ones, and without keeping them.
    await helmOn(test, ['install', 'vsmmu', test.chart, '--set', 'crds.keep=false']);
    await helmOn(test, ['uninstall', 'vsmmu']);
    await eventually('nothing is left', async () => (await leftOvers(cluster)).length === 0);
  });
}

/**
 * The chart as the version before would be: another number, a CRD without its youngest field, and without the Jobs that
 * later versions run at the end.
 */
async function previousChart({ chart, folder }) {
  const copy = join(folder, 'previous');
  await cp(chart, copy, { recursive: true });
  await rm(join(copy, 'templates', 'cleanup'), { recursive: true });
  await rewrite(join(copy, 'Chart.yaml'), /^(version|appVersion): .*$/gm, '$1: 0.0.9');
  await rewrite(join(copy, 'files', 'crds', 'policies.vsmmu.io.yaml'), / +unknownAts:\n(?: {18}.*\n)+/, '');
  await rewrite(join(copy, 'files', 'crds', 'policies.vsmmu.io.yaml'), ' || has(self.unknownAts)', '');
  return copy;
}

async function rewrite(file, pattern, replacement) {
  const before = await readFile(file, 'utf8');
  const after = before.replace(pattern, replacement);
  assert.notEqual(after, before, `${file} has no ${pattern}`);
  await writeFile(file, after);
}

async function checkPrevious(test) {
  const { cluster } = test;
  const policy = (spec) => ({
    apiVersion: 'vsmmu.io/v1alpha1',
    kind: 'Policy',
    metadata: { name: 'mine' },
    spec,
  });
  const images = async () => (await cluster.admin.get(DEPLOYMENT)).spec.template.spec.containers[0].image;
  const dryRun = async () =>
    (
      await cluster.admin.exchange('PATCH', `${POLICIES}/mine`, {
        body: policy({ unknownAts: 'no' }),
        contentType: 'application/apply-patch+yaml',
        query: { fieldManager: 'other', dryRun: 'All', fieldValidation: 'Strict' },
      })
    ).status;
  await helmOn(test, ['install', 'vsmmu', await previousChart(test)]);
  await eventually('policies are served', () => cluster.admin.get(POLICIES));
  await cluster.admin.create(POLICIES, policy({ priority: 7, topology: 'complete' }));
  assert.equal(await images(), 'vsmmu:0.0.9');
  assert.notEqual(await dryRun(), 200, 'the previous CRD has unknownAts');
  const { metadata } = await cluster.admin.get(`${POLICIES}/mine`);

  await helmOn(test, ['upgrade', 'vsmmu', test.chart]);
  assert.equal(await images(), `vsmmu:${await versionOf(test.chart)}`);
  await eventually('the new CRD is in force', async () => (await dryRun()) === 200);
  await helmOn(test, ['rollback', 'vsmmu', '1']);
  assert.equal(await images(), 'vsmmu:0.0.9');
  const kept = await cluster.admin.get(`${POLICIES}/mine`);
  assert.equal(kept.metadata.uid, metadata.uid);
  assert.equal(kept.spec.priority, 7);
  await helmOn(test, ['upgrade', 'vsmmu', test.chart, '--set', 'crds.keep=false']);
  await helmOn(test, ['uninstall', 'vsmmu']);
  await eventually('nothing is left', async () => (await leftOvers(cluster)).length === 0);
}

async function versionOf(chart) {
  return /^appVersion: (.*)$/m.exec(await readFile(join(chart, 'Chart.yaml'), 'utf8'))[1];
}

async function checkOldHelm(test) {
  const { ctx, cluster, chart } = test;
  const other = { ...test, helm: packagedHelm(ctx) };
  await helmOn(other, ['install', 'vsmmu', chart, '--set', 'crds.keep=false']);
  await helmOn(other, ['upgrade', 'vsmmu', chart, '--set', 'crds.keep=false,webhook.replicas=3']);
  assert.equal((await cluster.admin.get(DEPLOYMENT)).spec.replicas, 3);
  await helmOn(other, ['rollback', 'vsmmu', '1']);
  assert.equal((await cluster.admin.get(DEPLOYMENT)).spec.replicas, 2);
  await helmOn(other, ['uninstall', 'vsmmu']);
  await eventually('nothing is left', async () => (await leftOvers(cluster)).length === 0);
}

function ourLabels({ metadata }) {
  return Object.keys(metadata.labels ?? {}).filter((key) => key.includes('vsmmu.io/'));
}

/** Everything that carries the chart's label, in any namespace; Helm's own records too. */
async function leftOvers(cluster) {
  const query = { labelSelector: 'app.kubernetes.io/part-of=vsmmu' };
  const collections = [
    ...['secrets', 'services', 'serviceaccounts', 'pods', 'resourcequotas', 'configmaps'].map(
      (name) => `/api/v1/${name}`,
    ),
    ...['deployments', 'daemonsets'].map((name) => `/apis/apps/v1/${name}`),
    '/apis/batch/v1/jobs',
    '/apis/policy/v1/poddisruptionbudgets',
    '/apis/coordination.k8s.io/v1/leases',
    CRD_PATH,
    '/apis/networking.k8s.io/v1/networkpolicies',
    ...['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'].map(
      (name) => `/apis/rbac.authorization.k8s.io/v1/${name}`,
    ),
    ...[
      'mutatingwebhookconfigurations',
      'validatingwebhookconfigurations',
      'validatingadmissionpolicies',
      'validatingadmissionpolicybindings',
    ].map((name) => `/apis/admissionregistration.k8s.io/v1/${name}`),
  ];
  const left = [];
  for (const path of collections) {
    const { items } = await cluster.admin.get(path, query);
    left.push(...items.map(({ metadata }) => `${path} ${metadata.name}`));
  }
  const { items } = await cluster.admin.get(`/api/v1/namespaces/${NAMESPACE}/secrets`, {
    labelSelector: 'owner=helm',
  });
  const { items: nodes } = await cluster.admin.get('/api/v1/nodes');
  const labels = nodes.flatMap((node) => ourLabels(node).map((key) => `${node.metadata.name} ${key}`));
  return [...left, ...labels, ...items.map(({ metadata }) => metadata.name)];
}
