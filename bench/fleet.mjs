import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { installCrds } from '../test/real/fleet/crds.mjs';
import { BASELINES, baseline, NODES, PROFILES, vmi, VMIS } from '../test/real/fleet/objects.mjs';
import { controllerKubeconfig, Replica } from '../test/real/fleet/replica.mjs';
import {
  changeNode,
  createFleet,
  NODE_COUNT,
  nodeName,
  requestsOf,
  residentMiB,
  swarm,
  VMI_COUNT,
} from '../test/real/fleet/swarm.mjs';
import { Cluster } from '../test/real/kubernetes/cluster.mjs';
import { eventually } from '../test/real/kubernetes/eventually.mjs';
import { installVmiCrd } from '../test/real/kubernetes/kubevirt-crd.mjs';
import { Context } from '../test/real/lib/context.mjs';
import { NotRun } from '../test/real/lib/outcome.mjs';

export const title = `the controller on a real API server: ${NODE_COUNT} NodeProfiles, ${VMI_COUNT} VMIs`;

const ROUNDS = 5;
const QUIET_SECONDS = 30;
const CHURN_SECONDS = 15;

export async function run(measure) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-bench-'));
  const ctx = contextFor(dir);
  let cluster;
  try {
    cluster = await Cluster.start(ctx);
    await installVmiCrd(ctx, cluster);
    await installCrds(ctx, cluster);
    const file = await controllerKubeconfig(cluster, dir);
    await figures(measure, ctx, cluster, file);
  } catch (error) {
    if (!(error instanceof NotRun)) throw error;
    measure.skip('everything', error.message);
  } finally {
    await cluster?.stop();
    ctx.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function figures(measure, ctx, cluster, file) {
  const { admin } = cluster;
  const perMinute = async (seconds, during) => {
    const before = await requestsOf(cluster);
    const [busy] = await Promise.all([during(), pause(seconds * 1000)]);
    return [(((await requestsOf(cluster)) - before) * 60) / seconds, busy];
  };
  await admin.create(
    BASELINES,
    baseline('scale', { nodeSelector: { matchLabels: { 'test/scale': 'yes' } } }),
  );

  const early = new Replica(ctx, file);
  await early.identity();
  await pause(3000);
  const empty = [await residentMiB(early.child.pid)];
  await early.end('SIGTERM');
  await createFleet(admin, { 'vsmmu.io/baseline': 'scale' });

  const begun = performance.now();
  const controller = new Replica(ctx, file);
  await eventually('every node is a member', async () => (await members(admin)) === NODE_COUNT, 180);
  const labelled = (performance.now() - begun) / 1000;
  measure.row('start until every node is labelled (at most 50 requests a second)', 's', [labelled]);
  measure.row('requests until then', '', [await requestsOf(cluster)]);

  const changes = [];
  for (let round = 0; round < ROUNDS; round += 1) changes.push(await oneChange(admin, round));
  measure.row("one node's change until its label", 'ms', changes);
  // Once more everything: the garbage of start and list is gone then.
  await pause(5000);
  measure.against(
    'MiB',
    [`resident memory, ${NODE_COUNT} nodes and ${VMI_COUNT} VMIs`, [await residentMiB(controller.child.pid)]],
    ['an empty cluster', empty],
  );
  measure.row('resident memory, empty cluster', 'MiB', empty);

  const [quiet] = await perMinute(QUIET_SECONDS, async () => undefined);
  measure.row('API requests a minute while nothing changes (lease of 3 s)', '/min', [quiet]);
  const [renewed] = await perMinute(QUIET_SECONDS, () => swarm(NODE_COUNT, (i) => renew(admin, i)));
  measure.row(`the same while ${NODE_COUNT} agents renew their profiles`, '/min', [renewed]);

  await changeNode(admin, 0, { ssidsize: 2 });
  await eventually('the baseline is held back', async () => {
    const { status } = await admin.get(`${BASELINES}/scale`);
    return status.conditions.some(({ type, status: is }) => type === 'HeldBack' && is === 'True');
  });
  const [churned, vms] = await perMinute(CHURN_SECONDS, () => churn(admin, CHURN_SECONDS));
  measure.row(
    `the same while ${Math.round((vms * 60) / CHURN_SECONDS)} VMs a minute come and go, held back`,
    '/min',
    [churned],
  );
  await controller.end('SIGTERM');
}

async function members(admin) {
  const { items } = await admin.get(NODES, { labelSelector: 'baseline.vsmmu.io/scale=member' });
  return items.length;
}

/** Milliseconds from the write of a profile to the label on its node. */
async function oneChange(admin, round) {
  const ssidsize = 20 - round;
  await changeNode(admin, 7, { ssidsize });
  const begun = performance.now();
  const labelled = async () =>
    (await admin.get(`${NODES}/${nodeName(7)}`)).metadata.labels['vsmmu.io/ssidsize'] === `${ssidsize}`;
  while (!(await labelled())) await pause(20);
  return performance.now() - begun;
}

function renew(admin, i) {
  const status = { renewedAt: new Date().toISOString() };
  return admin.patch(`${PROFILES}/${nodeName(i)}/status`, 'merge', { status });
}

/** @returns how many VMs came and went */
async function churn(admin, seconds) {
  const until = performance.now() + seconds * 1000;
  let count = 0;
  while (performance.now() < until) {
    const name = `scale-churn-${count++}`;
    const on = nodeName(count % NODE_COUNT);
    await admin.create(VMIS, vmi(name, { on, annotations: { 'vsmmu.io/baseline': 'scale' } }));
    await admin.delete(`${VMIS}/${name}`);
    await pause(50);
  }
  return count;
}

/** What test:real gives a suite, without its ledger. */
function contextFor(dir) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  cpSync(join(root, 'dist'), join(dir, 'dist'), { recursive: true });
  return new Context({
    root,
    vsmmu: join(dir, 'dist', 'vsmmu.js'),
    suite: 'bench',
    ledger: undefined,
    cache: join(root, '.cache', 'real'),
    signal: new AbortController().signal,
    write: (text) => process.stderr.write(text),
    planned: [],
    endsAt: Infinity,
  });
}
