import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { BASELINES, baseline, NODES } from './objects.mjs';
import { Replica } from './replica.mjs';
import { changeNode, createFleet, NODE_COUNT, nodeName, requestsOf, residentMiB } from './swarm.mjs';

export const SCALE = {
  converges: '1,000 nodes and 5,000 VMIs: everything is labelled, and a change goes through',
};

/** That it works; how fast and at what cost is measured by bench/fleet.mjs. */
export async function scaleChecks(ctx, cluster, file) {
  const { admin } = cluster;
  await ctx.check(SCALE.converges, async () => {
    await createFleet(admin);
    await admin.create(
      BASELINES,
      baseline('scale', { nodeSelector: { matchLabels: { 'test/scale': 'yes' } } }),
    );
    const replica = new Replica(ctx, file);
    await eventually(
      'every node is a member',
      async () => {
        const { items } = await admin.get(NODES, { labelSelector: 'baseline.vsmmu.io/scale=member' });
        return items.length === NODE_COUNT;
      },
      180,
    );
    await changeNode(admin, 7, { ssidsize: 4 });
    await eventually('the change is labelled', async () => {
      const { metadata } = await admin.get(`${NODES}/${nodeName(7)}`);
      return metadata.labels['vsmmu.io/ssidsize'] === '4';
    });
    await eventually('the baseline follows', async () => {
      const { status } = await admin.get(`${BASELINES}/scale`);
      assert.deepEqual(status.vsmmu.ssidsize, { value: 4, limitedBy: [nodeName(7)] });
      return true;
    });
    const rss = await residentMiB(replica.child.pid);
    const requests = await requestsOf(cluster, ({ objectRef }) => objectRef?.name?.startsWith('scale'));
    // A label for each node, the baseline, the change, and little more: nothing is written twice.
    assert.ok(requests < NODE_COUNT + 50, `${requests} requests`);
    assert.equal(await replica.end('SIGTERM'), 0);
    ctx.log(`${rss.toFixed(0)} MiB resident, ${requests} requests`);
  });
}
