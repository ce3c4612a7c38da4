import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../kubernetes/eventually.mjs';
import { podOf, requireOption, RESOURCE, withNode } from './node.mjs';
import { devicesOverNodes } from './recording.mjs';

export const REGISTRATION = {
  probed: 'what the probe calls ready is what kubelet counts',
  late: 'an agent that starts before kubelet, without its directory, registers when kubelet comes',
  deaf: 'a socket that refuses Register is tried again until kubelet answers',
  slow: 'kubelet hangs: a Register without an answer is repeated; what hangs later changes nothing',
  shortage:
    'no file can be opened (EMFILE): capacity stays; a kubelet that restarts meanwhile has it back when files can be opened',
  stream: 'a device stream that ends while the socket stays: registered again',
  overlap: 'two agents at once, as in a rolling update: when one ends, the devices are there',
  socket: 'the agent’s own socket removed: served and registered again',
  stopped: 'SIGTERM: status 0, the socket is gone, kubelet sees no device any more',
  unhealthy: 'a device that loses its /dev/vfio node is unhealthy in the pod’s status, then healthy again',
  unplugged: 'a device that vanishes stays in capacity, leaves allocatable, and comes back',
  watcher: 'plugin-watcher mode: kubelet finds the agent by itself',
};

const four = devicesOverNodes(4, 2);

export async function registrationChecks(ctx, program) {
  const running = (use, options = {}) =>
    withNode(ctx, { program, devices: four, ...options }, async (node) => {
      await node.startKubelet({ numa: [0, 1] });
      const agent = node.startAgent(options.arguments);
      await node.counts(4, 4);
      await use(node, agent);
    });

  await ctx.check(REGISTRATION.probed, () => {
    const devices = [...four, { bdf: '0009:01:00.0', driver: 'nvme' }, { bdf: '000a:01:00.0', nodes: false }];
    return withNode(ctx, { program, devices }, async (node) => {
      await node.startKubelet();
      node.startAgent();
      await node.counts(5, 4); // the one without files in /dev is there and unhealthy
      assert.deepEqual(
        Object.keys((await node.kubelet.call('allocatable'))[RESOURCE]).sort(),
        four.map(({ bdf }) => bdf),
      );
    });
  });
  await ctx.check(REGISTRATION.late, () =>
    withNode(ctx, { program, devices: four }, async (node) => {
      const agent = node.startAgent();
      await eventually('the agent waits for kubelet', () => agent.log.length > 0);
      await node.startKubelet();
      ctx.log(`counted ${Math.round(await node.counts(4, 4))} ms after kubelet's start`);
    }),
  );
  await ctx.check(REGISTRATION.deaf, () => deafSocket(ctx, program));
  await ctx.check(REGISTRATION.slow, () => slowKubelet(ctx, program));
  await ctx.check(REGISTRATION.shortage, () => shortage(ctx, running));
  await ctx.check(REGISTRATION.stream, () =>
    running(async (node) => {
      const before = await node.run('a', 1);
      await node.kubelet.call('disconnect', { resource: RESOURCE });
      ctx.log(`counted again after ${Math.round(await node.counts(4, 4))} ms`);
      assert.deepEqual(await node.devicesOf('a'), before);
      assert.equal((await node.run('b', 3)).length, 3);
    }),
  );
  await ctx.check(REGISTRATION.overlap, () => overlap(running));
  await ctx.check(REGISTRATION.socket, () =>
    running(async (node, agent) => {
      const [own] = (await node.files()).filter((name) => /vsmmu/.test(name));
      const registrations = () => agent.log.match(/Registered with the kubelet/g)?.length ?? 0;
      const before = registrations();
      await rm(join(node.devicePlugins, own));
      await eventually('the socket is there again', async () => (await node.files()).includes(own));
      await eventually('it is registered again', () => registrations() > before);
      await node.counts(4, 4);
      assert.equal((await node.run('a', 1)).length, 1);
    }),
  );
  await ctx.check(REGISTRATION.stopped, () =>
    running(async (node, agent) => {
      assert.deepEqual(await agent.stop(), { code: 0, signal: null });
      assert.deepEqual(
        (await node.files()).filter((name) => /vsmmu/.test(name)),
        [],
      );
      await node.counts(4, 0);
    }),
  );
  await ctx.check(REGISTRATION.unhealthy, () =>
    running(
      async (node) => {
        const [bdf] = await node.run('a', 1);
        const group = Number.parseInt(bdf.slice(0, 4), 16);
        const health = async () => {
          const [status] = await node.kubelet.call('status', { uid: 'a', container: 'main' });
          assert.equal(status.name, node.resource);
          return status.resources.map(({ resourceID, health }) => `${resourceID} ${health}`);
        };
        assert.deepEqual(await health(), [`${bdf} Healthy`]);
        await node.host.removeNode(`vfio/${group}`);
        await node.counts(4, 3);
        assert.deepEqual(await health(), [`${bdf} Unhealthy`]);
        const told = node.kubelet.events.filter(({ value }) => value.podUIDs?.includes('a'));
        assert.ok(told.length > 0, 'kubelet was not told to update the pod');
        await node.host.addNode(`vfio/${group}`);
        await node.counts(4, 4);
        assert.deepEqual(await health(), [`${bdf} Healthy`]);
      },
      { live: true },
    ),
  );
  await ctx.check(REGISTRATION.unplugged, () =>
    running(
      async (node) => {
        await node.host.unplug('0002:01:00.0');
        await node.host.removeNode('vfio/2');
        await node.host.removeNode('vfio/devices/vfio2');
        await node.counts(4, 3);
        assert.equal((await node.admit(podOf('all', { [node.resource]: 4 }))).admitted, false);
        await node.host.plug('0002:01:00.0');
        await node.host.addNode('vfio/2');
        await node.host.addNode('vfio/devices/vfio2');
        await node.counts(4, 4);
        assert.equal((await node.run('all', 4)).length, 4);
      },
      { live: true },
    ),
  );
  await ctx.check(REGISTRATION.watcher, () => watcherMode(ctx, program));
}

/** Something listens where kubelet should be, and hangs up on everybody. */
async function deafSocket(ctx, program) {
  await withNode(ctx, { program, devices: four }, async (node) => {
    await mkdir(node.devicePlugins, { recursive: true });
    const deaf = createServer((socket) => socket.destroy());
    deaf.listen(join(node.devicePlugins, 'kubelet.sock'));
    await once(deaf, 'listening');
    const agent = node.startAgent();
    await eventually('the agent says that it is not registered', () => /Not registered yet/.test(agent.log));
    deaf.close();
    await node.startKubelet();
    await node.counts(4, 4);
    assert.ok(agent.running);
  });
}

/** An attempt to register takes 15 s at most; a second one comes before the first has its answer. */
const HANG_SECONDS = 60;

async function slowKubelet(ctx, program) {
  await withNode(ctx, { program, devices: four }, async (node) => {
    await node.startKubelet();
    node.kubelet.signal('SIGSTOP');
    const agent = node.startAgent();
    await eventually('it waits for an answer', () => /Not registered yet/.test(agent.log), HANG_SECONDS);
    await sleep(1000);
    node.kubelet.signal('SIGCONT');
    await node.counts(4, 4);
    await node.run('a', 1);
    const registrations = () => agent.log.match(/Registered with the kubelet/g)?.length ?? 0;
    const before = registrations();
    node.kubelet.signal('SIGSTOP');
    await sleep(3000);
    node.kubelet.signal('SIGCONT');
    await node.counts(4, 4);
    assert.equal(registrations(), before, 'a kubelet that hung for a while was taken for a new one');
    assert.equal((await node.run('b', 3)).length, 3);
  });
}

async function shortage(ctx, running) {
  await running(
    async (node, agent) => {
      await agent.limitFiles(ctx, 3);
      const until = performance.now() + 4000;
      while (performance.now() < until) {
        await node.counts(4, 4, node.resource, 0);
        await sleep(200);
      }
      assert.match(agent.log, /could not be (read|scanned).*EMFILE/);
      await node.stopKubelet();
      await node.startKubelet();
      await sleep(1500);
      await agent.limitFiles(ctx, 4096);
      ctx.log(`counted ${Math.round(await node.counts(4, 4))} ms after files could be opened again`);
      assert.equal((await node.run('a', 4)).length, 4);
    },
    { live: true, arguments: ['--rescan-seconds', '1'] },
  );
}

async function overlap(running) {
  // Whichever of the two ends: the one that stays must be what kubelet talks to in the end.
  for (const ends of ['the old one', 'the new one']) {
    await running(async (node, old) => {
      const before = await node.run('a', 1);
      const new_ = node.startAgent();
      await eventually('the new agent registered', () => /Registered with the kubelet/.test(new_.log));
      await (ends === 'the old one' ? old : new_).stop();
      await node.counts(4, 4);
      assert.deepEqual(await node.devicesOf('a'), before);
      assert.equal((await node.run('b', 3)).length, 3);
    });
  }
}

async function watcherMode(ctx, program) {
  await requireOption(ctx, '--registration');
  await withNode(ctx, { program, devices: four }, async (node) => {
    await node.startKubelet();
    const agent = node.startAgent(['--registration', 'watcher']);
    await node.counts(4, 4);
    assert.equal((await node.run('a', 2)).length, 2);
    await node.stopKubelet();
    await node.startKubelet();
    await node.counts(4, 4);
    await agent.kill();
    await node.counts(4, 0);
    node.startAgent(['--registration', 'watcher']);
    await node.counts(4, 4);
  });
}
