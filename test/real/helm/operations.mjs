import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '../kubernetes/eventually.mjs';
import { NAMESPACE, writeKubeconfig } from './helm-program.mjs';

const controller =
  'the controller runs as its Deployment says, as its own account: it becomes ready, leads and labels nodes';
const bundle = 'vsmmu support-bundle collects what there is, and no secret';
const partial =
  'vsmmu support-bundle as an account that may not read all: tells what is missing, keeps the rest';
const lease = 'the controller leaves its Lease its labels, and makes it anew when somebody deletes it';
export const OPERATIONS = [controller, lease, bundle, partial];

/** Of an installed release whose webhook has filled its Secret. */
export async function checkOperations(test) {
  const { ctx } = test;
  await checkController(test);
  await ctx.check(bundle, () => checkBundle(test));
  await ctx.check(partial, () => checkPartialBundle(test));
}

async function checkController(test) {
  const { ctx, cluster } = test;
  let child;
  try {
    await ctx.check(controller, async () => {
      child = await startController(test);
    });
    await ctx.check(lease, () => checkLease(cluster));
  } finally {
    child?.kill('SIGTERM');
  }
  if (child !== undefined) assert.deepEqual(await once(child, 'exit'), [0, null]);
}

/** @returns {Promise<import('node:child_process').ChildProcess>} leading, and with node1 labelled */
async function startController({ ctx, cluster, folder }) {
  const { spec } = await cluster.admin.get(
    `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/vsmmu-controller`,
  );
  const [{ args, readinessProbe }] = spec.template.spec.containers;
  const kubeconfig = join(folder, 'controller.kubeconfig');
  await writeKubeconfig(
    cluster,
    kubeconfig,
    await cluster.serviceAccountToken(NAMESPACE, 'vsmmu-controller'),
  );
  const child = ctx.start(process.execPath, [
    ctx.vsmmu,
    ...args.map((arg) => arg.replace(/^--http=.*/, '--http=127.0.0.1:0')),
    `--kubeconfig=${kubeconfig}`,
  ]);
  const port = await portOf(child);
  const get = (path) => fetch(`http://127.0.0.1:${port}${path}`);
  await eventually('it is ready', async () => (await get(readinessProbe.httpGet.path)).status === 200);
  await eventually('it leads', async () =>
    (await (await get('/metrics')).text()).includes('vsmmu_controller_leading 1\n'),
  );
  await eventually('node1 has its labels', async () => {
    const { metadata } = await cluster.admin.get('/api/v1/nodes/node1');
    return metadata.labels?.['vsmmu.io/profile'] === 'current';
  });
  return child;
}

async function checkLease(cluster) {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/vsmmu-controller`;
  const { metadata } = await cluster.admin.get(path);
  assert.equal(metadata.labels['app.kubernetes.io/managed-by'], 'Helm');
  await cluster.admin.delete(path);
  await eventually('a new one is held', async () => {
    const { status, body } = await cluster.admin.exchange('GET', path);
    return status === 200 && body.metadata.uid !== metadata.uid && Boolean(body.spec?.holderIdentity);
  });
}

async function portOf(child) {
  for await (const line of createInterface({ input: child.stderr })) {
    const { message, port } = JSON.parse(line);
    if (message === 'Serving HTTP.') {
      child.stderr.resume();
      return port;
    }
  }
  throw new Error('it ended before it listened');
}

async function checkBundle({ ctx, cluster, kubeconfig, folder }) {
  const dir = join(folder, 'bundle');
  const vmi = {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name: 'with-secrets', namespace: 'vms', annotations: { 'example.org/password': 'hunter2' } },
    spec: {
      domain: { devices: { gpus: [{ name: 'g', deviceName: 'vsmmu.io/10de-2941' }] } },
      volumes: [{ name: 'init', cloudInitNoCloud: { userData: 'password: hunter2' } }],
    },
  };
  // The webhook is not routed here; what is stored is what matters.
  await withoutWebhook(cluster, () =>
    cluster.admin.create('/apis/kubevirt.io/v1/namespaces/vms/virtualmachineinstances', vmi),
  );
  const { status, stdout, stderr } = await ctx.run(
    process.execPath,
    [ctx.vsmmu, 'support-bundle', dir, '--kubeconfig', kubeconfig],
    { check: false },
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout, `${dir}\n`);
  const { data } = await cluster.admin.get(
    `/api/v1/namespaces/${NAMESPACE}/secrets/vsmmu-webhook-certificates`,
  );
  const key = Buffer.from(data['ca.key'] ?? Object.values(data)[0], 'base64').toString();
  for (const name of await readdir(dir, { recursive: true })) {
    if (!name.includes('.')) continue;
    const text = await readFile(join(dir, name), 'utf8');
    assert.doesNotMatch(text, /hunter2|PRIVATE KEY|managedFields/, name);
    assert.ok(!text.includes(key), `${name} holds what is in the Secret`);
  }
  const read = (name) => readFile(join(dir, `${name}.yaml`), 'utf8');
  assert.match(await read('nodeprofiles'), /node: node1/);
  assert.match(await read('nodes'), /vsmmu\.io\/10de-2941-ats: "2"/);
  assert.match(await read('vmis'), /name: with-secrets/);
  assert.match(await read('deployments'), /--certificate-secret=vsmmu-webhook-certificates/);
  assert.match(await read('mutatingwebhooks'), /handover\.vsmmu\.io/);
}

async function checkPartialBundle({ ctx, cluster, folder }) {
  const dir = join(folder, 'partial');
  const kubeconfig = join(folder, 'partial.kubeconfig');
  await writeKubeconfig(cluster, kubeconfig, await cluster.serviceAccountToken(NAMESPACE, 'vsmmu-webhook'));
  const { status, stderr } = await ctx.run(
    process.execPath,
    [ctx.vsmmu, 'support-bundle', dir, '--kubeconfig', kubeconfig],
    { check: false },
  );
  assert.equal(status, 1, stderr);
  const { parts, missing } = JSON.parse(await readFile(join(dir, 'bundle.json'), 'utf8'));
  assert.deepEqual(
    parts.map(({ file }) => file),
    ['nodeprofiles.yaml', 'policies.yaml', 'baselines.yaml'],
  );
  assert.ok(
    missing.every(({ what }) => /forbidden/.test(what)),
    JSON.stringify(missing),
  );
}

/** Lets a VMI in that the webhook would have to be asked about. */
async function withoutWebhook(cluster, work) {
  const configurations = ['mutating', 'validating'].map(
    (kind) => `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/vsmmu-webhook`,
  );
  const before = await Promise.all(configurations.map((path) => cluster.admin.get(path)));
  const set = (policy) =>
    Promise.all(
      configurations.map((path, index) =>
        cluster.admin.patch(
          path,
          'json',
          before[index].webhooks.map((_, at) => ({
            op: 'replace',
            path: `/webhooks/${at}/failurePolicy`,
            value: policy ?? before[index].webhooks[at].failurePolicy,
          })),
        ),
      ),
    );
  await set('Ignore');
  try {
    await eventually('the webhook is not asked', async () => {
      await work();
      return true;
    });
  } finally {
    await set(undefined);
  }
}
