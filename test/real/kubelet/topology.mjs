import assert from 'node:assert/strict';
import { containerOf, podOf, RESOURCE, withNode } from './node.mjs';
import { devicesOverNodes } from './recording.mjs';

export const TOPOLOGY = {
  nodes: 'the devices’ NUMA nodes reach kubelet; a device without one has none, never node 0',
  hints: 'hints: one preferred node where it suffices, both where it does not',
  single:
    'single-numa-node: what fits one node is aligned, what would span two is refused with TopologyAffinityError',
  restricted: 'restricted: the same',
  bestEffort: 'best-effort: what would span two nodes is admitted',
  pod: 'scope pod: two containers on one node',
  preferNode: 'preferred allocation: the smallest NUMA node that suffices',
  preferSmmu: 'preferred allocation: one SMMU where a node has two',
  preferInit: 'preferred allocation: devices of an init container are used again',
  beyond: 'a machine with 18 NUMA nodes: refused by kubelet at its limit of 8, served with the limit raised',
};

export async function topologyChecks(ctx, program) {
  const eight = devicesOverNodes(8, 2);
  const onNode = (numa) => eight.filter((device) => device.numa === numa).map(({ bdf }) => bdf);
  const withEight = (options, use) =>
    withNode(ctx, { program, devices: eight }, async (node) => {
      await node.startKubelet({ numa: [0, 1], ...options });
      node.startAgent();
      await node.counts(8, 8);
      await use(node);
    });

  await ctx.check(TOPOLOGY.nodes, () => {
    const devices = [
      { bdf: '0001:01:00.0', numa: 0 },
      { bdf: '0002:01:00.0', numa: 1 },
      { bdf: '0003:01:00.0' },
    ];
    return withNode(ctx, { program, devices }, async (node) => {
      await node.startKubelet({ numa: [0, 1] });
      node.startAgent();
      await node.counts(3, 3);
      assert.deepEqual((await node.kubelet.call('allocatable'))[RESOURCE], {
        '0001:01:00.0': [0],
        '0002:01:00.0': [1],
        '0003:01:00.0': [],
      });
    });
  });
  await ctx.check(TOPOLOGY.hints, () =>
    withEight({}, async (node) => {
      const hints = async (count) => {
        const all = await node.kubelet.call('hints', { pod: podOf('x', { [RESOURCE]: count }) });
        return all[RESOURCE].map(
          ({ numa, preferred }) => `${numa.join('+')}${preferred ? ' preferred' : ''}`,
        ).sort();
      };
      assert.deepEqual(await hints(4), ['0 preferred', '0+1', '1 preferred']);
      assert.deepEqual(await hints(5), ['0+1 preferred']);
    }),
  );
  const spread = async (node) => {
    const taken = [...(await node.run('a', 3)), ...(await node.run('b', 3))];
    for (const numa of [0, 1]) assert.equal(onNode(numa).filter((bdf) => taken.includes(bdf)).length, 3);
    return node.admit(podOf('across', { [RESOURCE]: 2 })); // one is left on each node
  };
  for (const [check, policy] of [
    [TOPOLOGY.single, 'single-numa-node'],
    [TOPOLOGY.restricted, 'restricted'],
  ]) {
    await ctx.check(check, () =>
      withEight({ policy }, async (node) => {
        const refused = await spread(node);
        assert.equal(refused.admitted, false);
        assert.equal(refused.reason, 'TopologyAffinityError');
        assert.equal((await node.run('one', 1)).length, 1);
      }),
    );
  }
  await ctx.check(TOPOLOGY.bestEffort, () =>
    withEight({ policy: 'best-effort' }, async (node) => {
      assert.equal((await spread(node)).admitted, true);
      assert.equal((await node.devicesOf('across')).length, 2);
    }),
  );
  await ctx.check(TOPOLOGY.pod, () =>
    withEight({ policy: 'single-numa-node', scope: 'pod' }, async (node) => {
      const containers = ['main', 'other'].map((name) => containerOf(name, { [RESOURCE]: 2 }));
      const verdict = await node.admit({ ...podOf('a', {}), spec: { containers } });
      assert.ok(verdict.admitted, verdict.message);
      const all = [...(await node.devicesOf('a')), ...(await node.devicesOf('a', RESOURCE, 'other'))].sort();
      assert.ok(
        [onNode(0), onNode(1)].some((node) => node.join() === all.join()),
        all.join(),
      );
    }),
  );
  await ctx.check(TOPOLOGY.preferNode, () =>
    withEight({}, async (node) => {
      const [first] = await node.run('one', 1);
      const near = onNode(onNode(0).includes(first) ? 0 : 1);
      const far = onNode(onNode(0).includes(first) ? 1 : 0);
      assert.deepEqual(
        await node.run('three', 3),
        near.filter((bdf) => bdf !== first),
      );
      const two = await node.run('two', 2);
      assert.ok(
        two.every((bdf) => far.includes(bdf)),
        two.join(),
      );
    }),
  );
  await ctx.check(TOPOLOGY.preferSmmu, () => {
    const devices = Array.from({ length: 6 }, (_, i) => ({
      bdf: `000${i + 1}:01:00.0`,
      numa: 0,
      smmu: i % 2,
    }));
    return withNode(ctx, { program, devices }, async (node) => {
      await node.startKubelet();
      node.startAgent();
      await node.counts(6, 6);
      for (const uid of ['a', 'b']) {
        const smmus = new Set(
          (await node.run(uid, 2)).map((bdf) => devices.find((one) => one.bdf === bdf).smmu),
        );
        assert.equal(smmus.size, 1, uid);
      }
    });
  });
  await ctx.check(TOPOLOGY.preferInit, () =>
    withEight({}, async (node) => {
      const pod = podOf('a', { [RESOURCE]: 3 }, { initContainers: [containerOf('init', { [RESOURCE]: 2 })] });
      const verdict = await node.admit(pod);
      assert.ok(verdict.admitted, verdict.message);
      const init = await node.devicesOf('a', RESOURCE, 'init');
      const main = await node.devicesOf('a');
      assert.equal(init.length, 2);
      assert.ok(
        init.every((bdf) => main.includes(bdf)),
        `${init} / ${main}`,
      );
    }),
  );
  await ctx.check(TOPOLOGY.beyond, () => {
    const devices = [2, 10].map((numa, i) => ({ bdf: `000${i + 1}:01:00.0`, numa, smmu: i }));
    return withNode(ctx, { program, devices }, async (node) => {
      const numa = Array.from({ length: 18 }, (_, id) => id);
      const policy = 'best-effort';
      await assert.rejects(node.startKubelet({ numa, policy }), /more than 8 NUMA Nodes/);
      await node.startKubelet({ numa, policy, policyOptions: { 'max-allowable-numa-nodes': '18' } });
      node.startAgent();
      await node.counts(2, 2);
      assert.deepEqual((await node.kubelet.call('allocatable'))[RESOURCE], {
        '0001:01:00.0': [2],
        '0002:01:00.0': [10],
      });
      assert.equal((await node.run('a', 2)).length, 2);
    });
  });
}
