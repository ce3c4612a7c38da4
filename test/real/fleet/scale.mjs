import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { eventually } from '../kubernetes/eventually.mjs';
import { BASELINES, baseline, NODES, node, PROFILES, profile, vmi, VMIS } from './objects.mjs';
import { Replica } from './replica.mjs';

export const SCALE = {
  converges: '1,000 nodes and 5,000 VMIs: everything is labelled, and a change goes through',
};

const NODE_COUNT = 1000;
const VMI_COUNT = 5000;
const SWARM = 16;

export async function scaleChecks(ctx, cluster, file) {
  const { admin } = cluster;
  await ctx.check(SCALE.converges, async () => {
    const name = (i) => `scale-${String(i).padStart(4, '0')}`;
    await swarm(NODE_COUNT, async (i) => {
      await admin.create(NODES, node(name(i), { 'test/scale': 'yes' }));
      await admin.create(PROFILES, profile(name(i), { ssidsize: 16 + (i % 5), gpus: 8 }));
    });
    await swarm(VMI_COUNT, (i) =>
      admin.create(VMIS, vmi(`scale-${i}`, { on: name(i % NODE_COUNT), gpus: 1 })),
    );
    await admin.create(
      BASELINES,
      baseline('scale', { nodeSelector: { matchLabels: { 'test/scale': 'yes' } } }),
    );

    const start = performance.now();
    const replica = new Replica(ctx, file);
    await eventually(
      'every node is a member',
      async () => {
        const { items } = await admin.get(NODES, { labelSelector: 'baseline.vsmmu.io/scale=member' });
        return items.length === NODE_COUNT;
      },
      180,
    );
    const first = performance.now() - start;
    const rss = await residentMiB(replica.child.pid);
    const changeAt = performance.now();
    const current = await admin.get(`${PROFILES}/${name(7)}`);
    await admin.replace(`${PROFILES}/${name(7)}`, {
      ...current,
      spec: profile(name(7), { ssidsize: 4, gpus: 8 }).spec,
    });
    await eventually('the change is labelled', async () => {
      const { metadata } = await admin.get(`${NODES}/${name(7)}`);
      return metadata.labels['vsmmu.io/ssidsize'] === '4';
    });
    const change = performance.now() - changeAt;
    await eventually('the baseline follows', async () => {
      const { status } = await admin.get(`${BASELINES}/scale`);
      assert.deepEqual(status.vsmmu.ssidsize, { value: 4, limitedBy: [name(7)] });
      return true;
    });
    const requests = await requestsOf(cluster);
    assert.equal(await replica.end('SIGTERM'), 0);
    ctx.log(
      `1,000 nodes, 5,000 VMIs: all labelled after ${(first / 1000).toFixed(1)} s, one change after ` +
        `${change.toFixed(0)} ms, ${rss.toFixed(0)} MiB resident, ${requests} requests`,
    );
  });
}

/** Requests of the controller about this check's objects, by the API server's audit log. */
async function requestsOf(cluster) {
  const events = await cluster.audit();
  return events.filter(
    ({ user, objectRef }) =>
      user.username.endsWith(':vsmmu-controller') && (objectRef?.name ?? '').startsWith('scale'),
  ).length;
}

async function swarm(count, task) {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: SWARM }, worker));
}

async function residentMiB(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
