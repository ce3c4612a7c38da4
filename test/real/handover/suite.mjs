// `vsmmu webhook --cluster` on a real kube-apiserver: certificates of its own making, node values handed over in
// virt-controller's one write, and what it refuses. KubeVirt's writes are made with its identities.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadProduct } from '../kubernetes/product.mjs';
import { pathsOf, renderChart } from '../kubernetes/chart.mjs';
import { Cluster, freePorts } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { writeKubeconfig } from '../kubernetes/kubeconfig.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { devicesOverNodes, writeRecording } from '../kubelet/recording.mjs';
import { NAMESPACE } from '../webhook/vmi.mjs';
import { CERTIFICATES, certificateChecks } from './certificates.mjs';
import { CLAIMED, claimChecks } from './claims.mjs';
import { configurations } from './configurations.mjs';
import { FLOW, flowChecks } from './flow.mjs';
import { ClusterWebhook } from './webhook.mjs';

const starts = 'it makes its certificates, is trusted by both configurations, and is ready';

export const suite = {
  name: 'handover',
  needs: 'Go, for kube-apiserver and etcd; Helm of npm',
  timeoutMinutes: 14,
  checks: [starts, ...[FLOW, CLAIMED, CERTIFICATES].flatMap((names) => Object.values(names))],
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-handover-'));
    const cluster = await Cluster.start(ctx);
    let webhook;
    try {
      await prepare(ctx, cluster);
      const publish = await publisher(ctx, cluster, folder);
      await publish('node-a', devicesOverNodes(4, 2));
      const [port] = await freePorts(1);
      const { mutating, validating } = await configurations(ctx, port);
      const { admin } = cluster;
      const kinds = '/apis/admissionregistration.k8s.io/v1';
      await admin.create(`${kinds}/mutatingwebhookconfigurations`, mutating);
      await admin.create(`${kinds}/validatingwebhookconfigurations`, validating);
      webhook = new ClusterWebhook(ctx, {
        port,
        kubeconfig: await writeKubeconfig(cluster, join(folder, 'kubeconfig')),
      });
      const started = await ctx.check(starts, async () => {
        await webhook.run();
        await eventually('it is ready', async () => (await webhook.ready()) === 200, 30);
        for (const plural of ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']) {
          const { webhooks } = await admin.get(`${kinds}/${plural}/vsmmu-webhook`);
          for (const { clientConfig } of webhooks) assert.ok(clientConfig.caBundle?.length > 0, plural);
        }
      });
      if (!started) return;
      await flowChecks(ctx, cluster, { webhook, publish, mutating, validating });
      await claimChecks(ctx, cluster, { mutating, validating });
      await certificateChecks(ctx, cluster, webhook);
    } finally {
      await webhook?.close();
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function prepare(ctx, cluster) {
  await installVmiCrd(ctx, cluster);
  for (const name of [NAMESPACE, 'vsmmu-system'])
    await cluster.admin.create('/api/v1/namespaces', { metadata: { name } });
  for (const crd of (await renderChart(ctx)).filter(({ kind }) => kind === 'CustomResourceDefinition')) {
    await cluster.admin.apply(pathsOf(crd).path, crd);
  }
  await eventually('NodeProfiles are served', () =>
    cluster.admin.get('/apis/vsmmu.io/v1alpha1/nodeprofiles'),
  );
}

/** What an agent on a node does: describes a host as the node's NodeProfile. */
async function publisher(ctx, cluster, folder) {
  const product = await loadProduct(ctx);
  const log = Object.fromEntries(['debug', 'info', 'warn', 'error'].map((level) => [level, () => undefined]));
  const client = new product.KubeClient(
    product.staticAccess(cluster.url, { ca: cluster.ca, token: cluster.adminToken }),
  );
  return async (node, devices) => {
    const recording = join(folder, node);
    await writeRecording(recording, devices);
    const host = await product.openHost({ host: recording });
    const report = await product.probeHost(host, { signal: ctx.signal });
    await host.close();
    assert.equal(
      await new product.ProfilePublisher({ client, node, log }).publish(report, ctx.signal),
      'both',
    );
  };
}
