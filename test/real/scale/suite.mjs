// The simulation of a fleet (npm run simulate) held against a real kube-apiserver and etcd: the agents' own publisher
// keeps NodeProfiles of 64 devices each, a real webhook and a real controller follow them, and what the API server and
// etcd count is compared. VSMMU_SCALE_NODES=1000 makes it the size that docs/scaling.md names.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundle } from '../../../bench/bundle.mjs';
import { installCrds } from '../fleet/crds.mjs';
import { residentMiB, swarm } from '../fleet/swarm.mjs';
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { writeKubeconfig } from '../kubernetes/kubeconfig.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { loadProduct } from '../kubernetes/product.mjs';
import { Follower } from './follower.mjs';
import { meters } from './meters.mjs';

const sizes = 'a stored NodeProfile of 64 devices has the simulated size';
const requests = 'a renewal is as many requests as simulated';
const stored = 'etcd takes as many bytes for a renewal of all as simulated, and keeps as many';
const watches = 'webhook and controller keep as many watches as simulated, and get as many bytes';
const follows = 'a webhook that follows all of them needs the simulated memory';

const NODES = Number(process.env.VSMMU_SCALE_NODES ?? 250);
const DEVICES = 64;
const PROFILES = '/apis/vsmmu.io/v1alpha1/nodeprofiles';
const MIB = 1024 * 1024;
const RENEWAL_MS = 11 * 60_000;

export const suite = {
  name: 'scale',
  needs: 'Go, for kube-apiserver and etcd; openssl',
  timeoutMinutes: NODES > 500 ? 25 : 8,
  checks: [sizes, requests, stored, watches, follows],
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-scale-'));
    const cluster = await Cluster.start(ctx);
    try {
      await installVmiCrd(ctx, cluster);
      await installCrds(ctx, cluster);
      await cluster.admin.create('/api/v1/namespaces', { metadata: { name: 'vsmmu-system' } });
      await checks(ctx, cluster, folder);
    } finally {
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function checks(ctx, cluster, folder) {
  const simulated = await simulate(ctx, folder);
  const kubeconfig = await writeKubeconfig(cluster, join(folder, 'kubeconfig'));
  const idle = await meters(cluster);
  const webhook = await Follower.webhook(ctx, folder, kubeconfig);
  const withWebhook = await settled(cluster, 'watches');
  const controller = await Follower.controller(ctx, folder, kubeconfig);
  const empty = await settled(cluster, 'watches');
  const live = await webhook.liveMiB();
  const agents = await startAgents(ctx, cluster);
  // A profile without its node is deleted by the controller.
  await swarm(NODES, (n) => cluster.admin.create('/api/v1/nodes', { metadata: { name: agents.nameOf(n) } }));

  const timed = async (what, act) => {
    const begun = performance.now();
    await act();
    ctx.log(`${what} ${NODES} profiles: ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  };
  await timed('written', () => agents.publish('both'));
  const written = await settled(cluster, 'sent');
  await timed('renewed', () => agents.publish('status'));
  const renewed = await settled(cluster, 'sent');
  const object = await cluster.admin.get(`${PROFILES}/${agents.nameOf(0)}`);
  const near = (what, measured, expected, within = 0.2) => {
    ctx.log(`${what}: ${round(measured)}, simulated ${round(expected)}`);
    assert.ok(Math.abs(measured / expected - 1) < within, `${what}: ${measured}, simulated ${expected}`);
  };

  await ctx.check(sizes, () => {
    near('bytes of a profile', Buffer.byteLength(JSON.stringify(object)), simulated.sizes.profile);
  });
  await ctx.check(requests, () => {
    const { day } = simulated;
    near(
      'reads a renewal',
      1 + (renewed.reads - written.reads) / NODES,
      1 + (day.requests - day.writes) / day.renewals,
    );
    near('writes a renewal', (renewed.writes - written.writes) / NODES, day.writes / day.renewals);
  });
  await ctx.check(stored, () => {
    near(
      'MiB put by a renewal of all',
      (renewed.put - written.put) / MIB,
      (NODES * simulated.sizes.profile) / MIB,
    );
    // A creation and a renewal are three versions: spec, status, status.
    near(
      'MiB in use in etcd for three versions',
      (renewed.inUse - empty.inUse) / MIB,
      (3 * NODES * simulated.sizes.profile) / MIB,
      0.5,
    );
  });
  await ctx.check(watches, () => {
    const { webhook: each, controller: one } = simulated.watches;
    near('watches of a webhook', withWebhook.watches - idle.watches, each, 0.01);
    near('watches of a controller', empty.watches - withWebhook.watches, one, 0.01);
    near(
      'MiB sent to two who follow',
      (renewed.sent - written.sent) / MIB,
      (2 * NODES * simulated.sizes.profile) / MIB,
    );
  });
  await ctx.check(follows, async () => {
    const grown = (await webhook.liveMiB()) - live;
    near('MiB of live memory in a webhook', grown, simulated.held.webhookMiB, 0.5);
    ctx.log(
      `resident: webhook ${round(await residentMiB(webhook.pid))} MiB, controller ${round(await residentMiB(controller.pid))} MiB`,
    );
  });
}

async function simulate(ctx, folder) {
  const json = join(folder, 'simulated.json');
  const args = ['--nodes', String(NODES), '--devices', String(DEVICES), '--json', json];
  await ctx.run(process.execPath, [join(ctx.root, 'bench/scale/run.mjs'), ...args], { timeoutSeconds: 240 });
  const [result] = JSON.parse(await readFile(json, 'utf8'));
  return result;
}

/** The publisher of each node's agent, by a clock that jumps. */
async function startAgents(ctx, cluster) {
  const { KubeClient, ProfilePublisher, staticAccess } = await loadProduct(ctx);
  const { hostReport } = await import(
    pathToFileURL(
      await bundle(
        join(ctx.root, 'bench/scale/objects.ts'),
        await ctx.cache('product-modules'),
        'scale-objects.mjs',
      ),
    ).href
  );
  const report = await hostReport(DEVICES, 4);
  const client = new KubeClient(staticAccess(cluster.url, { ca: cluster.ca, token: cluster.adminToken }));
  const log = Object.fromEntries(['debug', 'info', 'warn', 'error'].map((level) => [level, () => undefined]));
  const nameOf = (n) => `node-${String(n).padStart(5, '0')}`;
  let clock = Date.now();
  const publishers = Array.from(
    { length: NODES },
    (_, n) => new ProfilePublisher({ client, node: nameOf(n), log, now: () => clock }),
  );
  return {
    nameOf,
    /** All of them once, as after a renewal's time. @param {'both' | 'status'} expected what each writes */
    async publish(expected) {
      clock += RENEWAL_MS;
      await swarm(NODES, async (n) =>
        assert.equal(await publishers[n].publish(report, ctx.signal), expected),
      );
    },
  };
}

/** The meters once this one has stood still for a second. */
async function settled(cluster, meter) {
  let before = await meters(cluster);
  return eventually(
    `${meter} stands still`,
    async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const now = await meters(cluster);
      const still = now[meter] === before[meter];
      before = now;
      return still && now;
    },
    60,
  );
}

function round(value) {
  return value.toFixed(value < 100 ? 1 : 0);
}
