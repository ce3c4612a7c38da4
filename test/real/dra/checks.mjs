import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { eventually } from '../kubernetes/eventually.mjs';
import { JsonLinesProgram } from '../kubernetes/json-lines.mjs';
import { podOf, RESOURCE, withNode } from '../kubelet/node.mjs';
import { devicesOverNodes } from '../kubelet/recording.mjs';
import { SLICES } from './workload.mjs';

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';

export const DRA = {
  slices: 'ResourceSlices: every device with all attributes, and with what the probe says',
  cel: 'CEL picks the device with ATS and 20-bit PASID among others',
  oneSmmu: 'two devices behind one SMMU, by matchAttribute',
  impossible: 'what no device has is not scheduled, and no missing attribute is an error',
  prepare:
    'prepared: CDI devices by the CDI schema, which the runtimes’ library resolves, with the right nodes of /dev',
  kubevirt: 'KubeVirt’s own reader finds the device of a claim, and of one from a template, in the metadata',
  again: 'prepared again, and unprepared twice: the same answers',
  unprepare: 'unprepared: the CDI specification is gone and the device is free',
  agentRestart: 'an agent that was killed meanwhile still unprepares, and still knows what is prepared',
  kubeletRestart: 'kubelet removes all slices at its start: they are there again, and a prepared claim stays',
  slicesRemoved: 'slices that somebody deletes or changes are put right',
  health: 'a device that fails is tainted in the slice and unhealthy in the pod’s status',
  bothSides: 'a device that DRA has goes to no pod by the device plugin, and the other way round',
  events: 'Events about the Node tell that a device failed and that it is well again',
  many: '1,024 devices: all published, in slices of the API’s size',
};

export async function draChecks(ctx, { cluster, workload, kubeconfig, programs }) {
  const kubeletArguments = [
    ...[
      '--api-server',
      cluster.url,
      '--ca',
      cluster.caFile,
      '--token',
      cluster.adminToken,
      '--node',
      'node-1',
    ],
  ];
  /** A node with kubelet and the agent's DRA driver, ready when its devices are published. */
  const serving = (devices, use, { live = false } = {}) =>
    withNode(ctx, { program: programs.kubelet, devices, live, kubeletArguments }, async (node) => {
      node.agentArguments = [
        '--dra',
        '--events',
        '--node-name',
        'node-1',
        '--kubeconfig',
        kubeconfig,
        '--cdi-dir',
        node.file('cdi'),
      ];
      await node.startKubelet();
      const agent = node.startAgent(node.agentArguments);
      await published(node, devices.length);
      try {
        await use(node, agent);
      } finally {
        await workload.clear();
        await cluster.admin.exchange('DELETE', SLICES);
      }
    });
  const published = (node, count, seconds = 60) =>
    eventually(
      `${count} devices are published`,
      async () => {
        const found = (await workload.published()).length;
        if (found === count) return true;
        throw new Error(`${found} are\nagent: ${node.agentLog}`);
      },
      seconds,
    );
  const names = (devices) => devices.map(({ bdf }) => `pci-${bdf.replace(/[:.]/g, '-')}`);
  /** What kubelet does with a pod that was scheduled to it. */
  const prepare = async (node, name) => {
    const { pod, devices } = await workload.scheduled(name);
    await eventually('kubelet prepares the claim', () => node.kubelet.call('prepare', { pod }), 60);
    return { uid: pod.metadata.uid, pod, devices };
  };
  const specifications = async (node) => JSON.parse((await ctx.run(programs.cdi, [node.file('cdi')])).stdout);
  const four = devicesOverNodes(4, 2);

  await ctx.check(DRA.slices, () =>
    serving([...four, { bdf: '0009:01:00.0', device: '0x2942' }], async () => {
      const found = await workload.published();
      const [{ attributes }] = found.filter(({ name }) => name === 'pci-0001-01-00-0');
      assert.deepEqual(attributes.ats, { bool: true });
      assert.deepEqual(attributes.pasidBits, { int: 20 });
      assert.deepEqual(attributes.oas, { int: 48 });
      assert.deepEqual(attributes['resource.kubernetes.io/pciBusID'], { string: '0001:01:00.0' });
      const own = Object.keys(attributes)
        .filter((key) => !key.includes('/'))
        .sort();
      for (const device of found) {
        assert.deepEqual(
          Object.keys(device.attributes)
            .filter((key) => !key.includes('/'))
            .sort(),
          own,
          device.name,
        );
      }
    }),
  );
  await ctx.check(DRA.cel, () =>
    serving([{ bdf: '0001:01:00.0', ats: false }, { bdf: '0002:01:00.0' }], async () => {
      const has = 'device.attributes["vsmmu.io"]';
      await workload.create('cel', { cel: [`${has}.ats && ${has}.pasidBits >= 20`] });
      assert.deepEqual((await workload.scheduled('cel')).devices, ['pci-0002-01-00-0']);
      await workload.remove('cel');
    }),
  );
  await ctx.check(DRA.oneSmmu, () => {
    const devices = Array.from({ length: 4 }, (_, i) => ({ bdf: `000${i + 1}:01:00.0`, smmu: i % 2 }));
    return serving(devices, async () => {
      await workload.create('pair', { count: 2, sameAttribute: 'vsmmu.io/smmu' });
      const chosen = (await workload.scheduled('pair')).devices;
      const smmus = chosen.map((name) => devices[names(devices).indexOf(name)].smmu);
      assert.equal(chosen.length, 2);
      assert.equal(smmus[0], smmus[1]);
      await workload.remove('pair');
    });
  });
  await ctx.check(DRA.impossible, () =>
    serving([...four, { bdf: '0009:01:00.0', ats: false }], async () => {
      await workload.create('impossible', { cel: ['device.attributes["vsmmu.io"].oas > 48'] });
      const said = await workload.refused('impossible');
      assert.doesNotMatch(said, /no such key|CEL.*error/i);
      await workload.remove('impossible');
    }),
  );
  await ctx.check(DRA.prepare, () =>
    serving(four, async (node) => {
      await workload.create('prepare', { count: 2 });
      const { uid, devices } = await prepare(node, 'prepare');
      const { cdi } = await node.options(uid);
      assert.equal(JSON.parse((await ctx.run(programs.schema, [node.file('cdi')])).stdout).length, 1);
      const known = await specifications(node);
      const nodes = new Set(
        cdi.flatMap((id) => known[id]?.nodes ?? assert.fail(`${id} is in no specification`)),
      );
      for (const name of devices) {
        const group = Number.parseInt(name.slice(4, 8), 16);
        for (const path of ['/dev/vfio/vfio', `/dev/vfio/${group}`]) assert.ok(nodes.has(path), path);
      }
      assert.equal(
        [...nodes].filter((path) => /^\/dev\/vfio\/\d+$/.test(path)).length,
        2,
        'a device too many',
      );
      await node.kubelet.call('unprepare', { uid });
      await workload.remove('prepare');
    }),
  );
  await ctx.check(DRA.kubevirt, () =>
    serving(four, async (node) => {
      const launcher = new JsonLinesProgram(
        ctx.start(programs.launcher, [], { stdio: ['pipe', 'pipe', 'pipe'] }),
      );
      try {
        for (const template of [false, true]) {
          const name = template ? 'from-template' : 'by-name';
          await workload.create(name, { template });
          const { uid, devices } = await prepare(node, name);
          const root = node.file(`container-${name}`);
          await mountAll(node.file('cdi'), root);
          const claim = template ? { resourceClaimTemplateName: 'any' } : { resourceClaimName: name };
          const address = await launcher.call('claimed', {
            root,
            claims: [{ name: 'devices', ...claim }],
            claim: 'devices',
            request: 'gpu',
          });
          assert.deepEqual(names([{ bdf: address }]), devices);
          await node.kubelet.call('unprepare', { uid });
          await workload.remove(name);
        }
      } finally {
        await launcher.kill();
      }
    }),
  );
  await ctx.check(DRA.again, () =>
    serving(four, async (node) => {
      await workload.create('again');
      const first = await prepare(node, 'again');
      const before = await node.options(first.uid);
      await prepare(node, 'again');
      assert.deepEqual(await node.options(first.uid), before);
      await node.kubelet.call('unprepare', { uid: first.uid });
      await workload.remove('again');
    }),
  );
  await ctx.check(DRA.unprepare, () =>
    serving(devicesOverNodes(1, 1), async (node) => {
      for (const name of ['first', 'second']) {
        await workload.create(name);
        const { uid } = await prepare(node, name);
        assert.equal(Object.keys(await specifications(node)).length, 1);
        await node.kubelet.call('unprepare', { uid });
        assert.deepEqual(await specifications(node), {});
        await workload.remove(name);
      }
    }),
  );
  await ctx.check(DRA.agentRestart, () =>
    serving(four, async (node, agent) => {
      await workload.create('survives');
      const { uid } = await prepare(node, 'survives');
      const before = await specifications(node);
      await agent.kill();
      node.startAgent(node.agentArguments);
      await eventually(
        'kubelet and the new agent unprepare',
        async () => {
          assert.deepEqual(Object.keys(await specifications(node)), Object.keys(before));
          await node.kubelet.call('unprepare', { uid });
          return true;
        },
        60,
      );
      assert.deepEqual(await specifications(node), {});
      await workload.remove('survives');
    }),
  );
  await ctx.check(DRA.kubeletRestart, () =>
    serving(four, async (node) => {
      await workload.create('stays');
      const { uid, pod } = await prepare(node, 'stays');
      const devicesOf = async () => [...new Set((await node.options(uid)).cdi)]; // kubelet itself may name one twice
      const before = await devicesOf();
      await node.killKubelet();
      await node.startKubelet();
      await eventually('the claim is prepared again', () => node.kubelet.call('prepare', { pod }), 60);
      assert.deepEqual(await devicesOf(), before);
      await published(node, 4);
      await node.kubelet.call('unprepare', { uid });
      await workload.remove('stays');
    }),
  );
  await ctx.check(DRA.slicesRemoved, () =>
    serving(four, async (node) => {
      for (let round = 0; round < 3; round++) {
        const start = performance.now();
        await cluster.admin.exchange('DELETE', SLICES);
        await published(node, 4);
        ctx.log(`published again after ${Math.round(performance.now() - start)} ms`);
      }
      const [slice] = (await cluster.admin.get(SLICES)).items;
      slice.spec.devices = slice.spec.devices.slice(0, 1);
      await cluster.admin.replace(`${SLICES}/${slice.metadata.name}`, slice);
      await published(node, 4);
    }),
  );
  await ctx.check(DRA.health, () =>
    serving(
      devicesOverNodes(2, 1),
      async (node) => {
        await workload.create('ill');
        const { uid, devices } = await prepare(node, 'ill');
        const group = Number.parseInt(devices[0].slice(4, 8), 16);
        await node.host.removeNode(`vfio/${group}`);
        await eventually('the device is tainted', async () => {
          const [device] = (await workload.published()).filter(({ name }) => name === devices[0]);
          return device?.taints?.length > 0;
        });
        await eventually('the pod’s status says so', async () => {
          const status = await node.kubelet.call('status', { uid, container: 'main' });
          return JSON.stringify(status ?? []).includes('"Unhealthy"');
        });
        await node.host.addNode(`vfio/${group}`);
        await eventually('it is well again', async () =>
          (await workload.published()).every(({ taints }) => !taints?.length),
        );
        await node.kubelet.call('unprepare', { uid });
        await workload.remove('ill');
      },
      { live: true },
    ),
  );
  await ctx.check(DRA.bothSides, () =>
    serving(devicesOverNodes(2, 1), async (node) => {
      await node.counts(2, 2, RESOURCE);
      await workload.create('by-claim');
      const { uid, devices } = await prepare(node, 'by-claim');
      await node.counts(2, 1, RESOURCE);
      const [other] = await node.run('by-plugin', 1, RESOURCE);
      assert.notEqual(names([{ bdf: other }])[0], devices[0]);
      assert.equal((await node.admit(podOf('too-many', { [RESOURCE]: 1 }))).admitted, false);
      await node.kubelet.call('unprepare', { uid });
      await workload.remove('by-claim');
      await node.counts(2, 2, RESOURCE);
      await workload.create('next');
      assert.deepEqual(
        (await workload.scheduled('next')).devices,
        devices,
        'the device of the other pod was chosen',
      );
      await workload.remove('next');
    }),
  );
  await ctx.check(DRA.events, () =>
    serving(
      devicesOverNodes(2, 1),
      async (node) => {
        const reasons = async () => {
          const { items } = await cluster.admin.get(EVENTS);
          const own = items.filter(({ regarding }) => regarding?.name === 'node-1');
          return own.map(({ reason, note }) => `${reason} ${note}`);
        };
        const told = (pattern) =>
          eventually(`an event says ${pattern}`, async () =>
            (await reasons()).some((text) => pattern.test(text)),
          );
        await told(/^DevicesAdvertised 2 devices as /);
        await node.host.removeNode('vfio/1');
        await told(/^DevicesUnhealthy 1 device .*\/dev\/vfio\/1 is missing/);
        await node.host.addNode('vfio/1');
        await told(/^DevicesHealthy 1 device .*0001:01:00\.0/);
      },
      { live: true },
    ),
  );
  await ctx.check(DRA.many, () =>
    serving(devicesOverNodes(1024, 4), async () => {
      const { items } = await cluster.admin.get(SLICES);
      assert.ok(items.length >= 8);
      for (const { spec } of items) assert.equal(spec.pool.resourceSliceCount, items.length);
      ctx.log(`${items.length} slices`);
    }),
  );
}

/** Copies to where a container has them what the CDI specifications mount. */
async function mountAll(cdi, root) {
  for (const file of await readdir(cdi)) {
    const { devices } = JSON.parse(await readFile(join(cdi, file), 'utf8'));
    for (const { hostPath, containerPath } of devices.flatMap(
      ({ containerEdits }) => containerEdits.mounts,
    )) {
      await mkdir(dirname(join(root, containerPath)), { recursive: true });
      await cp(hostPath, join(root, containerPath));
    }
  }
}
