import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { eventually } from '../kubernetes/eventually.mjs';
import { goProgram } from '../kubernetes/go-program.mjs';
import { JsonLinesProgram } from '../kubernetes/json-lines.mjs';
import { LIVE_RESOURCE, podOf, RESOURCE, withNode } from './node.mjs';
import { devicesOverNodes } from './recording.mjs';

export const ALLOCATION = {
  gets: 'a container gets the addresses KubeVirt reads, its device nodes, and /dev/vfio/vfio',
  kubevirt: 'KubeVirt’s own functions find the addresses in the container’s environment',
  exclusive: 'no device goes to two pods, and one more than there are is refused',
  freed: 'a device is free again when its pod is over',
  several: 'one container with two resources gets both, with nothing lost in kubelet’s merge',
  mates: 'mates of one IOMMU group never go to two pods, and the other is free again afterwards',
  matesTogether:
    'one container gets both mates of a group under one resource name; under two names it is refused with the reason',
  stale:
    'a device whose driver changed since it was advertised is refused at Allocate, with the reason in the event',
  many: '1,024 and 8,192 devices are all there',
};

/** @returns {Promise<boolean>} does the agent serve at all? */
export async function allocationChecks(ctx, program) {
  const eight = devicesOverNodes(8, 2);
  const serves = await ctx.check(ALLOCATION.gets, () =>
    withNode(ctx, { program, devices: eight }, async (node) => {
      await start(node, 8);
      const devices = await node.run('a', 2);
      const { env, devices: nodes } = await node.options('a');
      assert.deepEqual(env, { 'PCI_RESOURCE_VSMMU_IO_10DE-2941-ATS': devices.join(',') });
      const groups = devices.map((bdf) => Number.parseInt(bdf.slice(0, 4), 16));
      const expected = [
        '/dev/iommu',
        '/dev/vfio/vfio',
        ...groups.flatMap((group) => [`/dev/vfio/${group}`, `/dev/vfio/devices/vfio${group}`]),
      ];
      assert.deepEqual(nodes.map(({ host }) => host).sort(), expected.sort());
      for (const { host, container, permissions } of nodes) {
        assert.equal(container, host);
        assert.equal(permissions, 'mrw');
      }
    }),
  );
  if (!serves) return false;
  await ctx.check(ALLOCATION.kubevirt, () => readAsKubeVirt(ctx, program, eight));
  await ctx.check(ALLOCATION.exclusive, () =>
    withNode(ctx, { program, devices: eight }, async (node) => {
      await start(node, 8);
      const taken = [];
      for (const uid of ['a', 'b', 'c']) taken.push(...(await node.run(uid, 2)));
      assert.equal(new Set(taken).size, 6);
      const refused = await node.admit(podOf('d', { [RESOURCE]: 3 }));
      assert.equal(refused.admitted, false);
      assert.equal(refused.reason, 'UnexpectedAdmissionError');
      assert.equal((await node.run('e', 2)).length, 2);
    }),
  );
  await ctx.check(ALLOCATION.freed, () =>
    withNode(ctx, { program, devices: devicesOverNodes(1, 1) }, async (node) => {
      await start(node, 1);
      const first = await node.run('a', 1);
      assert.equal((await node.admit(podOf('b', { [RESOURCE]: 1 }))).admitted, false);
      await node.remove('a');
      assert.deepEqual(await node.run('c', 1), first);
    }),
  );
  await ctx.check(ALLOCATION.several, () => severalResources(ctx, program));
  await ctx.check(ALLOCATION.mates, () => groupMates(ctx, program));
  await ctx.check(ALLOCATION.matesTogether, () => bothMates(ctx, program));
  await ctx.check(ALLOCATION.stale, () =>
    withNode(ctx, { program, devices: devicesOverNodes(1, 1), live: true }, async (node) => {
      await node.startKubelet();
      node.startAgent();
      await node.counts(1, 1);
      await node.host.bind('0001:01:00.0', 'nvme');
      const refused = await node.admit(podOf('a', { [LIVE_RESOURCE]: 1 }));
      assert.equal(refused.admitted, false);
      assert.match(refused.message, /0001:01:00\.0.*(driver|nvme)/s);
    }),
  );
  await ctx.check(ALLOCATION.many, async () => {
    for (const count of [1024, 8192]) {
      await withNode(ctx, { program, devices: devicesOverNodes(count, 4) }, async (node) => {
        await node.startKubelet();
        const start = performance.now();
        node.startAgent();
        await node.counts(count, count, RESOURCE, 120);
        ctx.log(
          `${count} devices: counted ${Math.round(performance.now() - start)} ms after the agent's start`,
        );
        assert.equal((await node.run('a', 16)).length, 16);
        assert.equal(Object.keys((await node.kubelet.call('allocatable'))[RESOURCE]).length, count);
      });
    }
  });
  return true;
}

async function start(node, count, options) {
  await node.startKubelet(options);
  node.startAgent();
  await node.counts(count, count);
}

async function readAsKubeVirt(ctx, program, devices) {
  const launcher = new JsonLinesProgram(
    ctx.start(await goProgram(ctx, 'kubevirt-hooks'), [], { stdio: ['pipe', 'pipe', 'pipe'] }),
  );
  try {
    await withNode(ctx, { program, devices }, async (node) => {
      await start(node, devices.length);
      const taken = await node.run('a', 3);
      const { env } = await node.options('a');
      const found = await launcher.call('addresses', { resource: RESOURCE, environment: env });
      assert.deepEqual(found, taken);
    });
  } finally {
    await launcher.kill();
  }
}

const MATE_RESOURCE = 'vsmmu.io/10de-2942-ats';
const MATES = [
  { bdf: '0001:01:00.0', group: 1 },
  { bdf: '0001:01:00.1', group: 1, device: '0x2942' },
];

async function startMates(node) {
  await node.startKubelet();
  node.startAgent();
  await node.counts(1, 1, RESOURCE);
  await node.counts(1, 1, MATE_RESOURCE);
}

/** Kubelet asks for one resource at a time and doesn't say for which pod, so two names can't be known to belong together. */
async function bothMates(ctx, program) {
  await withNode(ctx, { program, devices: MATES }, async (node) => {
    await startMates(node);
    const refused = await node.admit(podOf('a', { [RESOURCE]: 1, [MATE_RESOURCE]: 1 }));
    assert.equal(refused.admitted, false);
    assert.match(refused.message, /GROUP_TAKEN|no healthy devices/);
  });
  await withNode(ctx, { program, devices: MATES }, async (node) => {
    await writeFile(
      node.file('agent.yaml'),
      'apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\notherwise: example.com/gpu\n',
    );
    await node.startKubelet();
    node.startAgent(['--config', node.file('agent.yaml')]);
    await node.counts(2, 2, 'example.com/gpu');
    assert.deepEqual(
      await node.run('a', 2, 'example.com/gpu'),
      MATES.map(({ bdf }) => bdf),
    );
    const { env } = await node.options('a');
    assert.deepEqual(env, { PCI_RESOURCE_EXAMPLE_COM_GPU: '0001:01:00.0,0001:01:00.1' });
  });
}

async function severalResources(ctx, program) {
  const devices = [{ bdf: '0001:01:00.0' }, { bdf: '0002:01:00.0', device: '0x2942' }];
  await withNode(ctx, { program, devices }, async (node) => {
    await startMates(node);
    const verdict = await node.admit(podOf('a', { [RESOURCE]: 1, [MATE_RESOURCE]: 1 }));
    assert.ok(verdict.admitted, verdict.message);
    const { env, devices: nodes } = await node.options('a');
    assert.deepEqual(env, {
      'PCI_RESOURCE_VSMMU_IO_10DE-2941-ATS': '0001:01:00.0',
      'PCI_RESOURCE_VSMMU_IO_10DE-2942-ATS': '0002:01:00.0',
    });
    const paths = nodes.map(({ host }) => host);
    for (const path of ['/dev/vfio/1', '/dev/vfio/2', '/dev/vfio/vfio'])
      assert.ok(paths.includes(path), path);
    assert.equal(new Set(paths).size, paths.length, 'a device node is there twice');
  });
}

async function groupMates(ctx, program) {
  await withNode(ctx, { program, devices: MATES }, async (node) => {
    await startMates(node);
    await node.run('a', 1, RESOURCE);
    const refused = await node.admit(podOf('b', { [MATE_RESOURCE]: 1 }));
    assert.equal(refused.admitted, false);
    await node.counts(1, 0, MATE_RESOURCE);
    await node.remove('a');
    await eventually(
      'the mate is free again',
      async () => {
        const verdict = await node.admit(podOf('c', { [MATE_RESOURCE]: 1 }));
        return verdict.admitted;
      },
      40,
    );
    await node.counts(1, 0, RESOURCE);
  });
}
