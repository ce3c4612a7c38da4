import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { pathsOf } from '../kubernetes/chart.mjs';
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { currentHelm, packagedHelm, writeKubeconfig } from './helm-program.mjs';
import { installModuleCrds } from './module-crds.mjs';
import { PlayedKubelet } from './played-kubelet.mjs';

const lint = 'Helm 4 lints the chart strictly';
const same = 'Helm 4 and Helm 3.10 render the same objects from every set of values';
const dryRun =
  'kube-apiserver takes every object of every set of values, without a warning (server-side dry run)';
const manifests = 'kube-apiserver takes every object of manifests/, without a warning';
const install = 'helm install creates the default objects';
const restricted = 'the pods of webhook and controller pass Pod Security "restricted"';
const privileged =
  'the agent’s pod needs Pod Security "privileged" for its folders of the node and its reader, and for nothing else';
const rights = 'each part may do what its role says, as its own account, and nothing that another needs';
const ownProfile = 'an agent writes its own node’s profile with its pod’s token, and no other';
const conditions = 'only VMIs that ask for vsmmu’s devices are sent to the webhook';
const policy = 'the policy onlyOurHook takes vsmmu’s hook and refuses any other';
const helmTest = 'helm test passes against the real webhook, and its pod is gone';
const helmTestFails = 'helm test fails where the webhook gives another hook than the chart names';
const upgrade = 'helm upgrade keeps the webhook’s authority and bundle, and changes its Deployment in place';
const rollback = 'helm rollback brings the old objects back';
const keeps = 'helm upgrade brings CRDs up to date and keeps their objects';
const uninstall = 'helm uninstall leaves the CRDs alone, and nothing with crds.keep=false';

const NAMESPACE = 'vsmmu';
const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const CRDS = ['baselines.vsmmu.io', 'nodeprofiles.vsmmu.io', 'policies.vsmmu.io'];

export const suite = {
  name: 'helm',
  needs: 'Go for Helm 4, etcd and kube-apiserver; Helm 3.10 from npm',
  timeoutMinutes: 20,
  checks: [
    ...[lint, same, dryRun, manifests, install, restricted, privileged, rights, ownProfile],
    ...[conditions, helmTest, helmTestFails, upgrade, rollback, keeps, policy, uninstall],
  ],
  async run(ctx) {
    const helm = await currentHelm(ctx);
    const chart = join(ctx.root, 'charts', 'vsmmu');
    await ctx.check(lint, () => ctx.run(helm, ['lint', '--strict', chart]));
    const sets = JSON.parse(await readFile(join(ctx.root, 'test', 'fixtures', 'chart', 'value-sets.json')));
    await ctx.check(same, async () => {
      const old = packagedHelm(ctx);
      for (const [name, options] of Object.entries(sets)) {
        const [now, before] = [
          await render(ctx, helm, chart, options),
          await render(ctx, old, chart, options),
        ];
        assert.deepEqual(comparable(now), comparable(before), name);
      }
    });

    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-helm-'));
    const cluster = await Cluster.start(ctx);
    try {
      await installModuleCrds(ctx, cluster);
      await installVmiCrd(ctx, cluster);
      const kubeconfig = join(folder, 'kubeconfig');
      await writeKubeconfig(cluster, kubeconfig);
      await useCluster({ ctx, cluster, helm, chart, sets, kubeconfig, folder });
    } finally {
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function useCluster(test) {
  const { ctx, cluster } = test;
  for (const name of [NAMESPACE, 'devices', 'elsewhere', 'vms']) await createNamespace(cluster, name);
  await ctx.check(dryRun, async () => {
    for (const [name, options] of Object.entries(test.sets)) {
      const objects = await render(ctx, test.helm, test.chart, options);
      for (const object of objects) await dryRunApply(cluster, object, name);
    }
  });
  await ctx.check(manifests, async () => {
    for (const name of ['default', 'cert-manager', 'dra', 'hook-only', 'device-plugin-only']) {
      const text = await readFile(join(ctx.root, 'manifests', name, 'vsmmu.yaml'), 'utf8');
      for (const object of objectsIn(text)) await dryRunApply(cluster, object, name);
    }
  });
  await checkInstallation(test);
  await checkAdmission(test);
  await checkHelmTest(test);
  await checkLifecycle(test);
}

async function checkInstallation(test) {
  const { ctx, cluster } = test;
  await ctx.check(install, async () => {
    await helmOn(test, ['install', 'vsmmu', test.chart]);
    const { status } = await cluster.admin.exchange(
      'GET',
      `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/vsmmu-agent`,
    );
    assert.equal(status, 200);
  });
  const podOf = async (kind, name) => {
    const { spec } = await cluster.admin.get(`/apis/apps/v1/namespaces/${NAMESPACE}/${kind}/${name}`);
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'try', labels: spec.template.metadata.labels },
      spec: spec.template.spec,
    };
  };
  const tryIn = async (level, pod) => {
    await createNamespace(cluster, `level-${level}`, { 'pod-security.kubernetes.io/enforce': level });
    for (const account of ['vsmmu-agent', 'vsmmu-webhook', 'vsmmu-controller'])
      await createAccount(cluster, `level-${level}`, account);
    return cluster.admin.exchange('POST', `/api/v1/namespaces/level-${level}/pods`, {
      body: pod,
      query: { dryRun: 'All' },
    });
  };
  await ctx.check(restricted, async () => {
    for (const name of ['vsmmu-webhook', 'vsmmu-controller']) {
      const { status, body } = await tryIn('restricted', await podOf('deployments', name));
      assert.equal(status, 201, body?.message);
    }
  });
  await ctx.check(privileged, async () => {
    const pod = await podOf('daemonsets', 'vsmmu-agent');
    const refused = await tryIn('baseline', pod);
    assert.equal(refused.status, 403);
    const [, violations] = /violates PodSecurity "baseline:latest": (.*)$/.exec(refused.body.message);
    // The folders of the node, the reader's privilege, and nothing else.
    assert.match(
      violations,
      /^hostPath volumes \(volumes [^)]*\), privileged \(containers "reader-first", "reader" must not set securityContext\.privileged=true\)$/,
    );
    const { status, body } = await tryIn('privileged', pod);
    assert.equal(status, 201, body?.message);
  });
  await ctx.check(rights, () => checkRights(cluster));
  await ctx.check(ownProfile, async () => checkOwnProfile(cluster, await podOf('daemonsets', 'vsmmu-agent')));
}

/** Asked of the API server as each account: verb, resource, name, namespace, allowed? */
const RIGHTS = [
  ['agent', 'patch', 'vsmmu.io/nodeprofiles', 'node1', '', true],
  ['agent', 'create', 'vsmmu.io/nodeprofiles', 'node1', '', true],
  ['agent', 'patch', 'vsmmu.io/nodeprofiles/status', 'node1', '', true],
  ['agent', 'list', 'vsmmu.io/nodeprofiles', '', '', false],
  ['agent', 'delete', 'vsmmu.io/nodeprofiles', 'node1', '', false],
  ['agent', 'get', '/nodes', 'node1', '', false],
  ['agent', 'patch', '/nodes', 'node1', '', false],
  ['agent', 'get', '/secrets', 'vsmmu-webhook-certificates', NAMESPACE, false],
  ['webhook', 'watch', 'vsmmu.io/nodeprofiles', '', '', true],
  ['webhook', 'patch', 'vsmmu.io/nodeprofiles', 'node1', '', false],
  ['webhook', 'update', '/secrets', 'vsmmu-webhook-certificates', NAMESPACE, true],
  ['webhook', 'get', '/secrets', 'other', NAMESPACE, false],
  ['webhook', 'list', '/secrets', '', NAMESPACE, false],
  ['webhook', 'create', '/secrets', '', NAMESPACE, false],
  ['webhook', 'get', '/secrets', 'vsmmu-webhook-certificates', 'default', false],
  [
    'webhook',
    'update',
    'admissionregistration.k8s.io/mutatingwebhookconfigurations',
    'vsmmu-webhook',
    '',
    true,
  ],
  [
    'webhook',
    'update',
    'admissionregistration.k8s.io/mutatingwebhookconfigurations',
    'virt-api-mutator',
    '',
    false,
  ],
  ['webhook', 'get', 'kubevirt.io/virtualmachineinstances', 'vm', 'vms', false],
  ['controller', 'patch', '/nodes', 'node1', '', true],
  ['controller', 'update', '/nodes', 'node1', '', false],
  ['controller', 'delete', 'vsmmu.io/nodeprofiles', 'node1', '', true],
  ['controller', 'create', 'vsmmu.io/nodeprofiles', '', '', false],
  ['controller', 'patch', 'vsmmu.io/baselines/status', 'b', '', true],
  ['controller', 'patch', 'vsmmu.io/baselines', 'b', '', false],
  ['controller', 'list', 'kubevirt.io/virtualmachineinstances', '', '', true],
  ['controller', 'patch', 'kubevirt.io/virtualmachineinstances', 'vm', 'vms', false],
  ['controller', 'update', 'coordination.k8s.io/leases', 'vsmmu-controller', NAMESPACE, true],
  ['controller', 'update', 'coordination.k8s.io/leases', 'other', NAMESPACE, false],
  ['controller', 'create', 'events.k8s.io/events', '', 'default', true],
  ['controller', 'create', 'events.k8s.io/events', '', 'vms', false],
  ['controller', 'get', '/secrets', 'vsmmu-webhook-certificates', NAMESPACE, false],
];

async function checkRights(cluster) {
  for (const [part, verb, path, name, namespace, allowed] of RIGHTS) {
    const [group, resource, subresource] = path.split('/');
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${NAMESPACE}`, 'system:authenticated'];
    const user = cluster.as(`system:serviceaccount:${NAMESPACE}:vsmmu-${part}`, groups);
    const { status } = await user.create('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { group, resource, subresource, verb, name, namespace } },
    });
    assert.equal(status.allowed, allowed, `${part} ${verb} ${path} ${name} in ${namespace || 'the cluster'}`);
    user.close();
  }
}

/** A real pod on a real Node object, with a token that the API server bound to it. */
async function checkOwnProfile(cluster, pod) {
  for (const name of ['node1', 'node2']) {
    await cluster.admin.create('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name } });
  }
  pod.metadata.name = 'agent-on-node1';
  pod.spec.nodeName = 'node1';
  const created = await cluster.admin.create(`/api/v1/namespaces/${NAMESPACE}/pods`, pod);
  const profile = (name) => ({
    apiVersion: 'vsmmu.io/v1alpha1',
    kind: 'NodeProfile',
    metadata: { name },
    spec: {
      node: name,
      summary: { smmus: 0, accel: 0, devices: 0, ats: 0, pasid: 0 },
      smmus: [],
      devices: [],
    },
  });
  const apply = (client, name) =>
    client.exchange('PATCH', `/apis/vsmmu.io/v1alpha1/nodeprofiles/${name}`, {
      body: profile(name),
      contentType: 'application/apply-patch+yaml',
      query: { fieldManager: 'vsmmu-agent' },
    });
  const bound = await cluster.serviceAccountClient(NAMESPACE, 'vsmmu-agent', created);
  const unbound = await cluster.serviceAccountClient(NAMESPACE, 'vsmmu-agent');
  const own = await apply(bound, 'node1');
  assert.equal(own.status, 201, own.body?.message);
  await eventually('the policy is in force', async () => (await apply(unbound, 'node1')).status === 403);
  const other = await apply(bound, 'node2');
  assert.equal(other.status, 403, other.body?.message);
  assert.match(other.body.message, /agent of node node1 may write its own NodeProfile only, not node2/);
  // Nobody confirms that its containers have ended.
  await cluster.admin.request('DELETE', `/api/v1/namespaces/${NAMESPACE}/pods/agent-on-node1`, {
    query: { gracePeriodSeconds: '0' },
  });
}

async function checkAdmission({ ctx, cluster }) {
  const vmis = '/apis/kubevirt.io/v1/namespaces/vms/virtualmachineinstances';
  await ctx.check(conditions, async () => {
    // No Service is routed here, so a VMI that is sent to the webhook cannot be created: failurePolicy is Fail.
    const cases = [
      ['no devices', {}, {}, true],
      ['a device of somebody else', { gpus: [{ name: 'g', deviceName: 'nvidia.com/gpu' }] }, {}, true],
      ['a name that only resembles', { gpus: [{ name: 'g', deviceName: 'not-vsmmu.io/gpu' }] }, {}, true],
      ['a DRA device', { gpus: [{ name: 'g', claimName: 'c', requestName: 'r' }] }, {}, true],
      ['a gpu of ours', { gpus: [{ name: 'g', deviceName: 'vsmmu.io/10de-2941' }] }, {}, false],
      [
        'a host device of ours',
        { hostDevices: [{ name: 'd', deviceName: 'vsmmu.io/15b3-1021' }] },
        {},
        false,
      ],
      ['the wish to be served', {}, { 'vsmmu.io/require': 'ats' }, false],
      ['values of its own making', {}, { 'vsmmu.io/resolved': '{}' }, false],
    ];
    for (const [name, devices, annotations, passes] of cases) {
      const { status, body } = await cluster.admin.exchange('POST', vmis, {
        body: vmi(devices, annotations),
        query: { dryRun: 'All' },
      });
      assert.equal(status === 201, passes, `${name}: ${status} ${body?.message}`);
      if (!passes) assert.match(body.message, /failed calling webhook "virtualmachineinstances\.vsmmu\.io"/);
    }
  });
}

async function checkHelmTest(test) {
  const { ctx, cluster } = test;
  const webhook = await startWebhook(test);
  // Stands in for the cluster's DNS and Service: the name is that of the certificate, the address is this machine.
  const lookup = `import dns from 'node:dns'; import https from 'node:https'; import { syncBuiltinESMExports } from 'node:module';
    const request = https.request; https.request = (url, options, then) => request(url, { ...options, port: ${webhook.port},
    lookup: (name, o, done) => o.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4) }, then); syncBuiltinESMExports();`;
  const environment = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(lookup)}` };
  const kubelet = new PlayedKubelet(cluster.admin, NAMESPACE, environment);
  try {
    await ctx.check(helmTest, async () => {
      await helmOn(test, ['test', 'vsmmu', '--timeout', '60s']);
      assert.match(
        kubelet.printed.get('vsmmu-test-webhook'),
        /^ok: https:\/\/vsmmu-webhook\.vsmmu\.svc\/mutate /,
      );
      const { items } = await cluster.admin.get(`/api/v1/namespaces/${NAMESPACE}/pods`);
      assert.deepEqual(
        items.map(({ metadata }) => metadata.name),
        [],
      );
    });
    await ctx.check(helmTestFails, async () => {
      await helmOn(test, ['upgrade', 'vsmmu', test.chart, '--set', 'image.tag=other']);
      const { status } = await helmOn(test, ['test', 'vsmmu', '--timeout', '60s'], { check: false });
      assert.notEqual(status, 0);
      assert.match(kubelet.printed.get('vsmmu-test-webhook'), /does not name the hook vsmmu:other/);
      await helmOn(test, ['rollback', 'vsmmu', '1']);
      // A failed test leaves its pod for people to look at; the next one takes its place.
      await helmOn(test, ['test', 'vsmmu', '--timeout', '60s']);
    });
  } finally {
    await kubelet.stop();
    ctx.end(webhook.child);
  }
}

/** The webhook with the arguments of its Deployment, as its own account, on a free port; it makes its certificate itself. */
async function startWebhook({ ctx, cluster, folder }) {
  const { spec } = await cluster.admin.get(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/vsmmu-webhook`);
  const { status } = await cluster.admin.create(
    `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/vsmmu-webhook/token`,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3600 },
    },
  );
  const kubeconfig = join(folder, 'webhook.kubeconfig');
  await writeKubeconfig(cluster, kubeconfig, status.token);
  const args = spec.template.spec.containers[0].args.map((arg) =>
    arg.replace(/^--listen=.*/, '--listen=127.0.0.1:0'),
  );
  const child = ctx.start(process.execPath, [
    ctx.vsmmu,
    ...args,
    `--kubeconfig=${kubeconfig}`,
    '--shutdown-delay=0',
  ]);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const configuration = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/vsmmu-webhook';
  await eventually('the configurations trust it', async () => {
    const { webhooks } = await cluster.admin.get(configuration);
    return webhooks.every(({ clientConfig }) => clientConfig.caBundle !== undefined);
  });
  return { child, port: new URL(line).port };
}

async function checkLifecycle(test) {
  const { ctx, cluster } = test;
  const secretOf = async () =>
    (await cluster.admin.get(`/api/v1/namespaces/${NAMESPACE}/secrets/vsmmu-webhook-certificates`)).data;
  const configuration = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vsmmu-webhook';
  const deployment = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/vsmmu-webhook`;
  await ctx.check(upgrade, async () => {
    const before = await secretOf();
    assert.ok(before['ca.crt'].length > 0, 'the webhook has filled its Secret');
    const bundleOf = async () =>
      (await cluster.admin.get(configuration)).webhooks.map(({ clientConfig }) => clientConfig.caBundle);
    const bundle = await bundleOf();
    const { metadata } = await cluster.admin.get(deployment);
    const values = ['webhook.replicas=3', 'webhook.timeoutSeconds=5'].flatMap((one) => ['--set', one]);
    await helmOn(test, ['upgrade', 'vsmmu', test.chart, ...values]);
    assert.deepEqual(await secretOf(), before);
    assert.deepEqual(await bundleOf(), bundle);
    const { webhooks } = await cluster.admin.get(configuration);
    assert.deepEqual(
      webhooks.map(({ timeoutSeconds }) => timeoutSeconds),
      [5, 5],
    );
    const after = await cluster.admin.get(deployment);
    assert.equal(after.spec.replicas, 3);
    assert.equal(after.metadata.uid, metadata.uid, 'the Deployment was replaced');
  });
  await ctx.check(rollback, async () => {
    const before = await secretOf();
    await helmOn(test, ['rollback', 'vsmmu', '1']);
    assert.equal((await cluster.admin.get(deployment)).spec.replicas, 2);
    assert.deepEqual(await secretOf(), before);
  });
  await ctx.check(keeps, async () => {
    const policies = '/apis/vsmmu.io/v1alpha1/policies';
    const path = `${CRD_PATH}/policies.vsmmu.io`;
    await cluster.admin.create(policies, {
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
    assert.equal((await cluster.admin.get(`${policies}/kept`)).spec.priority, 7);
  });
  await checkPolicy(test);
  await ctx.check(uninstall, async () => {
    await helmOn(test, ['uninstall', 'vsmmu']);
    assert.deepEqual(
      await leftOvers(cluster),
      CRDS.map((name) => `${CRD_PATH} ${name}`),
    );
    // Installed anew over the kept ones, and without keeping them.
    await helmOn(test, ['install', 'vsmmu', test.chart, '--set', 'crds.keep=false']);
    await helmOn(test, ['uninstall', 'vsmmu']);
    await eventually('nothing is left', async () => (await leftOvers(cluster)).length === 0);
  });
}

async function checkPolicy(test) {
  const { ctx, cluster } = test;
  await ctx.check(policy, async () => {
    await helmOn(test, ['upgrade', 'vsmmu', test.chart, '--set', 'policies.onlyOurHook.enabled=true']);
    // Only the policy is asked here: what it sees is what the webhook would have written.
    for (const kind of ['mutating', 'validating'])
      await cluster.admin.delete(
        `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/vsmmu-webhook`,
      );
    const ours = '[{"image":"vsmmu:0.1.0","imagePullPolicy":"IfNotPresent","args":["hook"]}]';
    const device = { gpus: [{ name: 'g', deviceName: 'vsmmu.io/10de-2941' }] };
    const hooks = (text) => (text === undefined ? {} : { 'hooks.kubevirt.io/hookSidecars': text });
    const cases = [
      ['ours', device, ours, true],
      ['another image', device, ours.replace('vsmmu:0.1.0', 'evil:1'), false],
      ['ours and another', device, ours.replace(']}]', ']},{"image":"evil:1"}]'), false],
      ['another image behind an escape', device, ours.replace('vsmmu', '\\u0065vil'), false],
      ['none at all', device, undefined, false],
      ['another image for a VMI without our devices', {}, '[{"image":"evil:1"}]', true],
    ];
    const vmis = '/apis/kubevirt.io/v1/namespaces/vms/virtualmachineinstances';
    const post = (body) => cluster.admin.exchange('POST', vmis, { body, query: { dryRun: 'All' } });
    // A policy takes a moment to be in force; until then everything passes.
    await untilRefused(() => post(vmi(device, hooks(undefined))));
    await eventually(
      'the webhooks are gone',
      async () => (await post(vmi(device, hooks(ours)))).status === 201,
    );
    for (const [name, devices, annotation, passes] of cases) {
      const { status, body } = await post(vmi(devices, hooks(annotation)));
      assert.equal(status === 201, passes, `${name}: ${status} ${body?.message}`);
      if (!passes) assert.match(body.message, /vsmmu's hook and no other/);
    }
    const { status } = await cluster.admin.get(
      '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/vsmmu-only-our-hook',
    );
    assert.equal(status?.typeChecking?.expressionWarnings, undefined, JSON.stringify(status));
  });
}

async function untilRefused(send) {
  await eventually(
    'the policy is in force',
    async () => (await send()).status === 422 || (await send()).status === 403,
  );
}

/** Everything that carries the chart's label, in any namespace; Helm's own records too. */
async function leftOvers(cluster) {
  const query = { labelSelector: 'app.kubernetes.io/part-of=vsmmu' };
  const collections = [
    ...['secrets', 'services', 'serviceaccounts', 'pods', 'resourcequotas', 'configmaps'].map(
      (name) => `/api/v1/${name}`,
    ),
    ...['deployments', 'daemonsets'].map((name) => `/apis/apps/v1/${name}`),
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
  return [...left, ...items.map(({ metadata }) => metadata.name)];
}

async function helmOn({ ctx, helm, kubeconfig, folder }, args, options = {}) {
  return ctx.run(helm, [...args, '--namespace', NAMESPACE, '--kubeconfig', kubeconfig], {
    env: { HOME: folder, HELM_NO_PLUGINS: '1' },
    timeoutSeconds: 180,
    ...options,
  });
}

async function render(
  ctx,
  helm,
  chart,
  { release = 'vsmmu', namespace = NAMESPACE, kubeVersion = '1.36.0', ...options },
) {
  const { stdout } = await ctx.run(
    helm,
    [
      ...['template', release, chart, '--namespace', namespace, '--kube-version', kubeVersion],
      ...(options.set ?? []).flatMap((one) => ['--set', one]),
      ...(options.apiVersions ?? []).flatMap((one) => ['--api-versions', one]),
      ...(options.values === undefined ? [] : ['--values', '-']),
    ],
    { input: options.values === undefined ? '' : JSON.stringify(options.values) },
  );
  return objectsIn(stdout);
}

function objectsIn(text) {
  return parseAllDocuments(text)
    .map((document) => document.toJS())
    .filter((object) => object !== null);
}

/** In one order: the two put kinds that they don't know in different places. */
function comparable(objects) {
  const name = ({ kind, metadata }) => `${kind} ${metadata.namespace} ${metadata.name}`;
  return objects.map(withoutKeys).sort((a, b) => (name(a) < name(b) ? -1 : 1));
}

/** Keys and certificates differ at every rendering. */
function withoutKeys(object) {
  return JSON.parse(JSON.stringify(object), (key, value) =>
    /^(caBundle|tls\.crt|tls\.key|ca\.crt)$/.test(key) ? '' : value,
  );
}

async function dryRunApply(cluster, object, where) {
  const { path } = pathsOf(object);
  const { status, body, warnings } = await cluster.admin.exchange('PATCH', path, {
    body: object,
    contentType: 'application/apply-patch+yaml',
    query: { fieldManager: 'test', force: 'true', dryRun: 'All', fieldValidation: 'Strict' },
  });
  assert.ok(
    status === 200 || status === 201,
    `${where}: ${object.kind} ${object.metadata.name}: ${status} ${body?.message}`,
  );
  assert.deepEqual(warnings, [], `${where}: ${object.kind} ${object.metadata.name}`);
}

/** A controller manager would make the default account; without it no pod can be created. */
async function createNamespace(cluster, name, labels = {}) {
  const { status } = await cluster.admin.exchange('POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
  });
  assert.ok(status === 201 || status === 409, `${name}: ${status}`);
  if (status === 201) await createAccount(cluster, name, 'default');
}

async function createAccount(cluster, namespace, name) {
  await cluster.admin.exchange('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, {
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
  });
}

function vmi(devices, annotations) {
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name: 'vm', namespace: 'vms', annotations },
    spec: { domain: { devices } },
  };
}
