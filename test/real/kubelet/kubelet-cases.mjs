import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../kubernetes/eventually.mjs';
import { cdiDevice } from './configuration.mjs';
import { containerOf, podOf, RESOURCE, withNode } from './node.mjs';
import { devicesOverNodes } from './recording.mjs';

/**
 * The 18 cases of kubelet's own suite, by their names (kubernetes v1.36 test/e2e_node/device_plugin_test.go and
 * device_plugin_failures_test.go), put to vsmmu's agent where those have a sample plugin. Where kubelet's case ends
 * with "kubelet will not retry", ours goes on: the agent must be there again by itself.
 */
export const KUBELET_CASES = {
  schedule: 'Can schedule a pod that requires a device',
  cdi: 'can make a CDI device accessible in a container',
  podRestart:
    'Keeps device plugin assignments across pod restarts (no kubelet restart, no device plugin restart)',
  kubeletRestart:
    'Keeps device plugin assignments across kubelet restarts (no pod restart, no device plugin restart)',
  podAndKubelet: 'Keeps device plugin assignments across pod and kubelet restarts (no device plugin restart)',
  succeeded:
    'will not attempt to admit the succeeded pod after the kubelet restart and device plugin removed',
  pluginRestart:
    'Keeps device plugin assignments after the device plugin has restarted (no kubelet restart, pod restart)',
  kubeletAndPlugin:
    'Keeps device plugin assignments after kubelet restart and device plugin restart (no pod restart)',
  orphaned:
    '[OrphanedPods] Ensures pods consuming devices deleted while kubelet is down are cleaned up correctly',
  restartableInit: 'Can schedule a pod with a restartable init container',
  reboot:
    'Does not keep device plugin assignments across node reboots if fails admission (no pod restart, no device plugin re-registration)',
  optionsFail: 'when GetDevicePluginOptions fails, device plugin will not be used',
  unhealthyAndBack:
    'will set allocatable to zero when a single device became unhealthy and then back to 1 if it got healthy again',
  unhealthyInUse:
    'will set allocatable to zero when a single device became unhealthy, but capacity will stay at 1',
  someUnhealthy:
    'will lower allocatable to a number of unhealthy devices and then back if they became healthy again',
  listFailsAtOnce:
    'when ListAndWatch fails immediately, node allocatable will be set to zero and kubelet will not retry to list resources',
  listFailsLater:
    'when ListAndWatch fails after provisioning devices, node allocatable will be set to zero and kubelet will not retry to list resources',
  pluginStopped:
    'when device plugin is stopped after provisioning devices, node allocatable will be set to zero',
};

export async function kubeletCases(ctx, program) {
  const serving =
    (count, use, options = {}) =>
    async () =>
      withNode(ctx, { program, devices: devicesOverNodes(count, 1), ...options }, async (node) => {
        await node.startKubelet();
        const agent = node.startAgent(options.arguments);
        await node.counts(count, count);
        await use(node, agent);
      });
  const live = { live: true };

  await ctx.check(
    KUBELET_CASES.schedule,
    serving(2, async (node) => {
      const [bdf] = await node.run('a', 1);
      assert.deepEqual(await node.kubelet.call('inUse'), { 'a/main': [bdf] });
      assert.match(Object.values((await node.options('a')).env).join(), new RegExp(`^${bdf}$`));
    }),
  );
  await ctx.check(KUBELET_CASES.cdi, () => cdiDevice(ctx, program));
  await ctx.check(
    KUBELET_CASES.podRestart,
    serving(2, async (node) => {
      const first = await node.run('a', 1);
      const before = await node.options('a');
      assert.deepEqual(await node.options('a'), before); // asked again when the container starts again
      const second = await node.run('b', 1);
      assert.notDeepEqual(second, first);
      assert.deepEqual(await node.kubelet.call('inUse'), { 'a/main': first, 'b/main': second });
    }),
  );
  await ctx.check(
    KUBELET_CASES.kubeletRestart,
    serving(2, async (node) => {
      const first = await node.run('a', 1);
      await node.stopKubelet();
      await node.startKubelet();
      await node.counts(2, 2);
      assert.deepEqual(await node.kubelet.call('inUse'), { 'a/main': first });
    }),
  );
  await ctx.check(
    KUBELET_CASES.podAndKubelet,
    serving(2, async (node) => {
      const first = await node.run('a', 1);
      await node.killKubelet();
      await node.startKubelet({ running: [] }); // the pod's container ended meanwhile and is started again
      await node.counts(2, 2);
      assert.deepEqual(await node.run('a', 1), first);
      assert.deepEqual(Object.keys((await node.options('a')).env), ['PCI_RESOURCE_VSMMU_IO_10DE-2941-ATS']);
    }),
  );
  ctx.notRun(
    KUBELET_CASES.succeeded,
    'it is about which pods kubelet admits again; that part of kubelet needs a container runtime',
  );
  await ctx.check(
    KUBELET_CASES.pluginRestart,
    serving(2, async (node, agent) => {
      const first = await node.run('a', 1);
      await agent.kill();
      node.startAgent();
      await node.counts(2, 2);
      assert.deepEqual(await node.kubelet.call('inUse'), { 'a/main': first });
      assert.notDeepEqual(await node.run('b', 1), first);
    }),
  );
  await ctx.check(
    KUBELET_CASES.kubeletAndPlugin,
    serving(2, async (node, agent) => {
      const first = await node.run('a', 1);
      await node.stopKubelet();
      await node.startKubelet();
      assert.deepEqual(await node.kubelet.call('inUse'), { 'a/main': first });
      await agent.stop();
      node.startAgent();
      await node.counts(2, 2);
      assert.deepEqual(await node.kubelet.call('inUse'), { 'a/main': first });
    }),
  );
  await ctx.check(
    KUBELET_CASES.orphaned,
    serving(1, async (node) => {
      const first = await node.run('a', 1);
      await node.killKubelet();
      node.forget('a');
      await node.startKubelet();
      await node.counts(1, 1);
      assert.deepEqual(await node.kubelet.call('inUse'), {});
      assert.deepEqual(await node.run('b', 1), first);
    }),
  );
  await ctx.check(
    KUBELET_CASES.restartableInit,
    serving(2, async (node) => {
      const one = { [RESOURCE]: 1 };
      const initContainers = [
        containerOf('init', one),
        containerOf('restartable-init', one, { restartPolicy: 'Always' }),
      ];
      const verdict = await node.admit(podOf('a', one, { initContainers }));
      assert.ok(verdict.admitted, verdict.message);
      const init = await node.devicesOf('a', RESOURCE, 'init');
      const restartable = await node.devicesOf('a', RESOURCE, 'restartable-init');
      const main = await node.devicesOf('a');
      assert.deepEqual(restartable, init);
      assert.notDeepEqual(main, restartable);
      assert.deepEqual(await node.kubelet.call('inUse'), {
        'a/restartable-init': restartable,
        'a/main': main,
      });
    }),
  );
  await ctx.check(
    KUBELET_CASES.reboot,
    serving(1, async (node, agent) => {
      await node.run('a', 1);
      await agent.kill();
      await node.killKubelet();
      await node.startKubelet({ running: [] }); // no container survives a reboot
      const verdict = await node.admit(podOf('a', { [RESOURCE]: 1 }));
      assert.equal(verdict.admitted, false);
      assert.deepEqual(await node.kubelet.call('inUse'), {});
      node.startAgent();
      await node.counts(1, 1);
      assert.equal((await node.run('b', 1)).length, 1);
    }),
  );
  await ctx.check(KUBELET_CASES.optionsFail, () => frozenWhenAsked(ctx, program));
  await ctx.check(
    KUBELET_CASES.unhealthyAndBack,
    serving(
      1,
      async (node) => {
        await node.host.removeNode('vfio/1');
        await node.counts(1, 0);
        await node.host.addNode('vfio/1');
        await node.counts(1, 1);
      },
      live,
    ),
  );
  await ctx.check(
    KUBELET_CASES.unhealthyInUse,
    serving(
      1,
      async (node) => {
        const first = await node.run('a', 1);
        await node.counts(1, 1);
        await node.host.removeNode('vfio/1');
        await node.counts(1, 0);
        assert.deepEqual(await node.kubelet.call('inUse'), { 'a/main': first });
        await node.remove('a');
        await node.counts(1, 0);
      },
      live,
    ),
  );
  await ctx.check(
    KUBELET_CASES.someUnhealthy,
    serving(
      4,
      async (node) => {
        const steps = [
          ['removeNode', 'vfio/4', 3],
          ['addNode', 'vfio/4', 4],
          ['removeNode', 'vfio/2', 3],
          ['removeNode', 'vfio/4', 2],
          ['addNode', 'vfio/4', 3],
          ['addNode', 'vfio/2', 4],
        ];
        for (const [change, path, allocatable] of steps) {
          await node.host[change](path);
          await node.counts(4, allocatable);
        }
      },
      live,
    ),
  );
  for (const [check, when] of [
    [KUBELET_CASES.listFailsAtOnce, 'at once'],
    [KUBELET_CASES.listFailsLater, 'later'],
  ]) {
    await ctx.check(
      check,
      serving(2, async (node) => {
        const held = when === 'later' ? await node.run('a', 1) : [];
        for (let loss = 0; loss < (when === 'later' ? 1 : 5); loss++) {
          await node.kubelet.call('disconnect', { resource: RESOURCE });
        }
        await node.counts(2, 2);
        assert.deepEqual(await node.devicesOf('a'), held);
        assert.equal((await node.run('b', 1)).length, 1);
      }),
    );
  }
  await ctx.check(
    KUBELET_CASES.pluginStopped,
    serving(2, async (node, agent) => {
      await agent.stop();
      await node.counts(2, 0); // after five minutes kubelet drops the resource; not waited for
    }),
  );
}

/** Ours answers a constant, so the call fails because the agent is frozen when kubelet asks, within Register. */
async function frozenWhenAsked(ctx, program) {
  await withNode(ctx, { program, devices: devicesOverNodes(2, 1) }, async (node) => {
    await node.startKubelet();
    node.kubelet.signal('SIGSTOP');
    const agent = node.startAgent();
    await eventually('the agent’s socket is there', async () =>
      (await node.files()).some((name) => /vsmmu/.test(name)),
    );
    await sleep(1000); // its Register waits for kubelet by now
    agent.signal('SIGSTOP');
    node.kubelet.signal('SIGCONT');
    await sleep(11_000); // kubelet gives a plugin 10 s to answer
    assert.equal((await node.kubelet.call('capacity')).capacity[RESOURCE], undefined);
    agent.signal('SIGCONT');
    await node.counts(2, 2);
    assert.equal((await node.run('a', 1)).length, 1);
  });
}
