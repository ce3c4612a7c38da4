import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';

import { configurations } from '../test/real/handover/configurations.mjs';
import { ClusterWebhook } from '../test/real/handover/webhook.mjs';
import { renderChart } from '../test/real/kubernetes/chart.mjs';
import { Cluster, freePorts } from '../test/real/kubernetes/cluster.mjs';
import { eventually } from '../test/real/kubernetes/eventually.mjs';
import { writeKubeconfig } from '../test/real/kubernetes/kubeconfig.mjs';
import { installVmiCrd } from '../test/real/kubernetes/kubevirt-crd.mjs';
import { Processes } from '../test/real/lib/process.mjs';
import { OURS, vmi } from '../test/real/webhook/vmi.mjs';

export const title = 'Creating VMIs on a real kube-apiserver, with and without the webhook';

const ROUNDS = 5;
const WARM_UP = 1;
const CREATIONS = 40;
const KIBIBYTES = 16;
const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];

/**
 * Three kinds of creation, in turn. "without" stands in a namespace that the webhook's configurations leave out, so
 * that the API server does for it what it does where vsmmu is not installed.
 */
const KINDS = {
  without: { namespace: 'vsmmu-system', resource: OURS },
  unrelated: { namespace: 'vms', resource: 'other.example/gpu' },
  with: { namespace: 'vms', resource: OURS },
};

export async function run(measure) {
  const folder = await mkdtemp(join(tmpdir(), 'vsmmu-bench-'));
  const ended = new AbortController();
  const ctx = context(ended.signal);
  // etcd and kube-apiserver lead groups of their own: they would outlive a benchmark that is ended from outside.
  for (const name of ['SIGTERM', 'SIGINT'])
    process.once(name, () => {
      ended.abort();
      process.exit(1);
    });
  let cluster;
  let webhook;
  try {
    cluster = await Cluster.start(ctx);
    webhook = await install(ctx, cluster, folder);
    for (const writers of [1, 8]) await creations(measure, cluster, writers);
  } catch (error) {
    if (error?.name !== 'NotRun') throw error;
    measure.skip('creations on a real API server', error.message);
  } finally {
    await webhook?.close();
    await cluster?.stop();
    ended.abort();
    await rm(folder, { recursive: true, force: true });
  }
}

async function creations(measure, { admin }, writers) {
  const results = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, { p50: [], p99: [] }]));
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const [kind, options] of Object.entries(KINDS)) {
      const latencies = await burst(admin, options, writers, `b${writers}-${round + WARM_UP}-${kind}`);
      if (round < 0) continue;
      results[kind].p50.push(quantile(latencies, 0.5));
      results[kind].p99.push(quantile(latencies, 0.99));
    }
  }
  const of = (kind, field) => [
    `${writers} writer${writers === 1 ? '' : 's'}, ${LABELS[kind]}: ${field}`,
    results[kind][field],
  ];
  for (const field of ['p50', 'p99']) {
    measure.pair('ms', of('with', field), of('without', field));
    measure.against('ms', of('unrelated', field), of('without', field));
  }
}

const LABELS = {
  without: 'without vsmmu',
  unrelated: 'a VMI that has none of our devices',
  with: 'a VMI with our device',
};

/** Latencies, milliseconds, of creations that are stored, not dry. */
async function burst(admin, { namespace, resource }, writers, prefix) {
  const latencies = [];
  let left = CREATIONS;
  const collection = `/apis/kubevirt.io/v1/namespaces/${namespace}/virtualmachineinstances`;
  const writer = async () => {
    while (left > 0) {
      const object = filled(vmi(`${prefix}-${left--}`, { gpus: 1, resource }), namespace);
      const begun = performance.now();
      await admin.create(collection, object);
      latencies.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  return latencies;
}

/** With volumes up to the size of a VMI as virt-controller makes them. */
function filled(object, namespace) {
  object.metadata.namespace = namespace;
  object.spec.volumes = [];
  object.spec.domain.devices.disks = [];
  for (let i = 0; JSON.stringify(object).length < KIBIBYTES * 1024; i += 1) {
    object.spec.domain.devices.disks.push({ name: `disk${i}`, disk: { bus: 'virtio' } });
    object.spec.volumes.push({ name: `disk${i}`, persistentVolumeClaim: { claimName: `claim-${i}` } });
  }
  return object;
}

async function install(ctx, cluster, folder) {
  const { admin } = cluster;
  await installVmiCrd(ctx, cluster);
  for (const name of ['vms', 'vsmmu-system'])
    await admin.create('/api/v1/namespaces', { metadata: { name } });
  for (const crd of (await renderChart(ctx)).filter(({ kind }) => kind === 'CustomResourceDefinition'))
    await admin.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
  const [port] = await freePorts(1);
  const { mutating, validating } = await configurations(ctx, port);
  const kinds = '/apis/admissionregistration.k8s.io/v1';
  await admin.create(`${kinds}/mutatingwebhookconfigurations`, mutating);
  await admin.create(`${kinds}/validatingwebhookconfigurations`, validating);
  const webhook = new ClusterWebhook(ctx, {
    port,
    kubeconfig: await writeKubeconfig(cluster, join(folder, 'kubeconfig')),
    lives: { authority: 86_400, leaf: 3600 },
  });
  await webhook.run();
  await eventually('the webhook is ready', async () => (await webhook.ready()) === 200, 60);
  const collection = '/apis/kubevirt.io/v1/namespaces/vms/virtualmachineinstances';
  await eventually('the API server calls it', async () => {
    const { metadata } = await admin.create(collection, vmi('first', { gpus: 1 }), { dryRun: 'All' });
    return metadata.annotations?.['hooks.kubevirt.io/hookSidecars'] !== undefined;
  });
  return webhook;
}

/** What the real-component suites' helpers ask of their context. */
function context(signal) {
  const processes = new Processes(signal);
  const root = process.cwd();
  return {
    root,
    vsmmu: resolve('dist/vsmmu.js'),
    signal,
    log: (text) => console.log(`  … ${text}`),
    run: (...args) => processes.run(...args),
    start: (...args) => processes.start(...args),
    end: (...args) => processes.end(...args),
    retry: (_what, act) => act(),
    async cache(...names) {
      const folder = join(root, '.cache', 'real', ...names);
      await mkdir(folder, { recursive: true });
      return folder;
    },
  };
}
