import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { profile } from '../fleet/objects.mjs';
import { pathsOf } from '../kubernetes/chart.mjs';
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { currentHelm, helmOn, NAMESPACE, packagedHelm, writeKubeconfig } from './helm-program.mjs';
import { checkRemoval, checkUpgrades, REMOVAL, UPGRADES } from './lifecycle.mjs';
import { installModuleCrds } from './module-crds.mjs';
import { checkOperations, OPERATIONS } from './operations.mjs';
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
const deleted = 'the webhook makes its Secret anew, with the chart’s rights, when somebody deletes it';
const helmTestFails = 'helm test fails where the webhook gives another hook than the chart names';

export const suite = {
  name: 'helm',
  needs: 'Go for Helm 4, etcd and kube-apiserver; Helm 3.10 from npm',
  timeoutMinutes: 20,
  checks: [
    ...[lint, same, dryRun, manifests, install, restricted, privileged, rights, ownProfile],
    ...[conditions, helmTest, deleted, helmTestFails, ...OPERATIONS, ...UPGRADES, policy, ...REMOVAL],
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
  for (const name of [NAMESPACE, 'devices', 'elsewhere', '456', 'vms']) await createNamespace(cluster, name);
  await ctx.check(dryRun, async () => {
    // Objects of kinds that the chart itself brings can be tried out only where these are.
    const crds = await createCrds(test);
    try {
      for (const [name, options] of Object.entries(test.sets)) {
        const objects = await render(ctx, test.helm, test.chart, options);
        for (const object of objects) await dryRunApply(cluster, object, name);
      }
    } finally {
      for (const path of crds) await cluster.admin.delete(path);
      await eventually('the definitions are gone', async () => {
        const found = await Promise.all(crds.map((path) => cluster.admin.exchange('GET', path)));
        return found.every(({ status }) => status === 404);
      });
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
  await checkUpgrades(test);
  await checkPolicy(test);
  await checkRemoval(test);
}

/** @returns {Promise<string[]>} their paths */
async function createCrds({ cluster, chart }) {
  const folder = join(chart, 'files', 'crds');
  const collection = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const paths = [];
  for (const file of await readdir(folder)) {
    const [crd] = objectsIn(await readFile(join(folder, file), 'utf8'));
    await cluster.admin.create(collection, crd);
    paths.push(`${collection}/${crd.metadata.name}`);
    const served = `/apis/${crd.spec.group}/${crd.spec.versions[0].name}/${crd.spec.names.plural}`;
    await eventually(`${served} is served`, () => cluster.admin.get(served));
  }
  return paths;
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
  ['webhook', 'create', '/secrets', 'vsmmu-webhook-certificates', NAMESPACE, true],
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
  ['controller', 'create', 'coordination.k8s.io/leases', '', NAMESPACE, false],
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

/** While the webhook runs, which remembers. */
async function checkDeletedSecret(cluster) {
  const path = `/api/v1/namespaces/${NAMESPACE}/secrets/vsmmu-webhook-certificates`;
  const { data } = await cluster.admin.get(path);
  await cluster.admin.delete(path);
  await eventually('it is there again, with the same authority', async () => {
    const { status, body } = await cluster.admin.exchange('GET', path);
    return status === 200 && body.data?.['ca.crt'] === data['ca.crt'];
  });
}

async function checkHelmTest(test) {
  const { ctx, cluster } = test;
  const webhook = await startWebhook(test);
  // Stands in for the cluster's DNS and Service: the name is that of the certificate, the address is this machine.
  const lookup = `import dns from 'node:dns'; import https from 'node:https'; import { syncBuiltinESMExports } from 'node:module';
    const request = https.request; https.request = (url, options, then) => typeof url !== 'string' ? request(url, options) : request(url, { ...options, port: ${webhook.port},
    lookup: (name, o, done) => o.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4) }, then); syncBuiltinESMExports();`;
  const environment = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(lookup)}` };
  const kubelet = new PlayedKubelet(cluster, ctx.vsmmu, NAMESPACE, environment);
  try {
    await ctx.check(helmTest, async () => {
      await playAgents(cluster);
      await helmOn(test, ['test', 'vsmmu', '--timeout', '60s']);
      assert.match(
        kubelet.printed.get('vsmmu-test-webhook'),
        /^ok: https:\/\/vsmmu-webhook\.vsmmu\.svc\/mutate /,
      );
      assert.match(kubelet.printed.get('vsmmu-test-agents'), /^ok: 1 agents, 1 profiles, 2 devices$/m);
      const { items } = await cluster.admin.get(`/api/v1/namespaces/${NAMESPACE}/pods`);
      assert.deepEqual(
        items.map(({ metadata }) => metadata.name),
        [],
      );
    });
    await ctx.check(deleted, () => checkDeletedSecret(cluster));
    await ctx.check(helmTestFails, async () => {
      await helmOn(test, ['upgrade', 'vsmmu', test.chart, '--set', 'image.tag=other']);
      const { status } = await helmOn(test, ['test', 'vsmmu', '--timeout', '60s'], { check: false });
      assert.notEqual(status, 0);
      assert.match(kubelet.printed.get('vsmmu-test-webhook'), /does not name the hook vsmmu:other/);
      await helmOn(test, ['rollback', 'vsmmu', '1']);
      // A failed test leaves its pod for people to look at; the next one takes its place.
      await helmOn(test, ['test', 'vsmmu', '--timeout', '60s']);
      await setAllocatable(cluster, '0');
      const silent = await helmOn(test, ['test', 'vsmmu', '--timeout', '60s'], { check: false });
      assert.notEqual(silent.status, 0);
      assert.match(
        kubelet.printed.get('vsmmu-test-agents'),
        /^fault: node1 has 2 devices ready for passthrough and its kubelet offers none$/m,
      );
      await setAllocatable(cluster, '2');
      await helmOn(test, ['test', 'vsmmu', '--timeout', '60s']);
    });
    await checkOperations(test);
  } finally {
    await kubelet.stop();
    ctx.end(webhook.child);
  }
}

/** What a node with two devices and its agent would have told. */
async function playAgents(cluster) {
  await cluster.admin.apply('/apis/vsmmu.io/v1alpha1/nodeprofiles/node1', profile('node1', { gpus: 2 }));
  await setAllocatable(cluster, '2');
  const daemonSet = `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/vsmmu-agent/status`;
  const counts = {
    desiredNumberScheduled: 1,
    currentNumberScheduled: 1,
    numberReady: 1,
    numberMisscheduled: 0,
  };
  await cluster.admin.patch(daemonSet, 'merge', { status: counts });
}

async function setAllocatable(cluster, count) {
  const resources = { 'vsmmu.io/10de-2941-ats': count };
  await cluster.admin.patch('/api/v1/nodes/node1/status', 'merge', {
    status: { capacity: resources, allocatable: resources },
  });
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
      [
        'ours with what a policy adds',
        device,
        ours.replace(']}]', ',"--topology=complete","--unknown-ats=yes"]}]'),
        true,
      ],
      ['ours with an argument of the user', device, ours.replace(']}]', ',"--socket-dir=/x"]}]'), false],
      ['ours with a second key behind it', device, ours.replace('}]', ',"image":"evil:1"}]'), false],
      ['ours with a line behind it', device, `${ours}\n`, false],
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
    // What a VMI with claims looks like when the webhook has seen it.
    const marked = vmi({}, { ...hooks('[{"image":"evil:1"}]'), 'vsmmu.io/require': '' });
    assert.equal((await post(marked)).status, 422);
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

/** A pod's account is looked up even in a dry run, where the account itself is only tried out. */
async function dryRunApply(cluster, object, where) {
  const { kind, metadata, spec } = object;
  const account = kind === 'Pod' ? spec.serviceAccountName : undefined;
  if (account !== undefined) await createAccount(cluster, metadata.namespace, account);
  try {
    await dryRunApplyObject(cluster, object, where);
  } finally {
    if (account !== undefined)
      await cluster.admin.delete(`/api/v1/namespaces/${metadata.namespace}/serviceaccounts/${account}`);
  }
}

async function dryRunApplyObject(cluster, object, where) {
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
