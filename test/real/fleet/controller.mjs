import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import {
  BASELINES,
  baseline,
  NODES,
  node,
  POLICIES,
  policy,
  PROFILES,
  profile,
  vmi,
  VMIS,
} from './objects.mjs';
import { leader, Replica } from './replica.mjs';

export const CONTROLLER = {
  labels: 'nodes get labels of what they can do, with no more rights than documented',
  baseline: 'a baseline tells values, members, who limits, who is left out and why',
  quiet: 'nothing is written while nothing changes',
  changed: "a change of a node's features under a running VM is told by an event on the node",
  heldBack: 'under a running VM a baseline is held back, with a condition and an event that name it',
  released: 'once the VM has ended the baseline shrinks',
  cordoned:
    'nodes that are cordoned, drained and booted at once keep labels and membership; what changed with the boot is told meanwhile',
  vanished: 'the profile of a vanished node is deleted, and labels go with the profile',
  broken: 'a profile that cannot be read is passed over and hurts no other',
  killed: 'two controllers: the leader is killed, the other takes over and does what was missed',
  stopped: 'a leader that is stopped hands over before its lease has run out',
  apiServer: 'a restarted API server: the controller goes on by itself',
};

export async function controllerChecks(ctx, cluster, file) {
  const { admin } = cluster;
  const labelsOf = async (name) => (await admin.get(`${NODES}/${name}`)).metadata.labels ?? {};
  const statusOf = async (name) => (await admin.get(`${BASELINES}/${name}`)).status ?? {};
  const condition = (status, type) => status.conditions?.find((one) => one.type === type);
  const events = async (reason) =>
    (await admin.get('/apis/events.k8s.io/v1/namespaces/default/events')).items.filter(
      (event) => event.reason === reason,
    );
  const replaceProfile = async (name, shape) => {
    const current = await admin.get(`${PROFILES}/${name}`);
    await admin.replace(`${PROFILES}/${name}`, { ...current, spec: profile(name, shape).spec });
  };

  for (const name of ['n1', 'n2', 'n3']) await admin.create(NODES, node(name));
  await admin.create(PROFILES, profile('n1'));
  await admin.create(PROFILES, profile('n2', { ssidsize: 16 }));
  await admin.create(BASELINES, baseline('gold'));
  let first = new Replica(ctx, file);

  await ctx.check(CONTROLLER.labels, async () => {
    const labels = await eventually('n2 is labelled', async () => {
      const now = await labelsOf('n2');
      return now['baseline.vsmmu.io/gold'] === 'member' && now;
    });
    assert.equal(labels['vsmmu.io/ssidsize'], '16');
    assert.equal(labels['vsmmu.io/ats'], 'on');
    assert.equal((await labelsOf('n3'))['vsmmu.io/profile'], undefined);
  });

  await ctx.check(CONTROLLER.baseline, async () => {
    const status = await eventually('gold is ready', async () => {
      const now = await statusOf('gold');
      return condition(now, 'Ready')?.status === 'True' && now;
    });
    assert.deepEqual(status.vsmmu.ssidsize, { value: 16, limitedBy: ['n2'] });
    assert.deepEqual(status.vsmmu.ats, { value: 'on', limitedBy: [] });
    assert.deepEqual(status.members, ['n1', 'n2']);
    assert.deepEqual(status.excluded, [{ name: 'n3', reason: 'it has no NodeProfile: no agent reports it' }]);
    assert.deepEqual(status.leavingOut, [{ node: 'n2', gains: ['ssidsize 16 -> 20'], losesModels: [] }]);
    assert.equal(status.observedGeneration, 1);
  });

  await ctx.check(CONTROLLER.quiet, async () => {
    const before = await Promise.all([admin.get(`${BASELINES}/gold`), admin.get(NODES)]);
    // A change that asks for nothing: when the mark has gone round, so has everything that was under way.
    await admin.create(NODES, node('mark', { 'vsmmu.io/ats': 'on' }));
    await eventually('the mark is seen', async () => (await labelsOf('mark'))['vsmmu.io/ats'] === undefined);
    await admin.delete(`${NODES}/mark`);
    const after = await Promise.all([admin.get(`${BASELINES}/gold`), admin.get(NODES)]);
    const versions = (list) => list.items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]);
    const unmarked = versions(after[1]).filter(([name]) => name !== 'mark');
    assert.deepEqual(unmarked, versions(before[1]));
  });

  await admin.create(VMIS, vmi('db-1', { on: 'n1', annotations: { 'vsmmu.io/baseline': 'gold' } }));
  await ctx.check(CONTROLLER.changed, async () => {
    // Watches of VMIs and profiles are two: the node changes until the VMI is known too.
    let ats = 'yes';
    const event = await eventually('an event tells', async () => {
      ats = ats === 'yes' ? 'unknown' : 'yes';
      await replaceProfile('n1', { deviceAts: ats });
      return eventually('it is sent', async () => (await events('FeaturesChanged'))[0], 2);
    });
    assert.deepEqual([event.regarding.kind, event.regarding.name], ['Node', 'n1']);
    assert.match(event.note, /0009:01:00.0: ATS (yes -> unknown|unknown -> yes) under running default\/db-1/);
    await replaceProfile('n1', {});
  });

  await ctx.check(CONTROLLER.heldBack, async () => {
    await replaceProfile('n2', { ssidsize: 8, ril: 'off' });
    const status = await eventually('gold is held back', async () => {
      const now = await statusOf('gold');
      return condition(now, 'HeldBack')?.status === 'True' && now;
    });
    assert.match(condition(status, 'HeldBack').message, /ril on -> off, ssidsize 16 -> 8 .*default\/db-1/);
    assert.deepEqual(status.members, ['n1']);
    assert.match(status.excluded.find(({ name }) => name === 'n2').reason, /would lower the values/);
    assert.ok(status.vsmmu.ssidsize.value >= 16);
    const [event] = await eventually('an event tells', async () => {
      const found = await events('HeldBack');
      return found.length > 0 && found;
    });
    assert.deepEqual([event.regarding.kind, event.regarding.name], ['Baseline', 'gold']);
    assert.match(event.note, /default\/db-1/);
    await eventually('n2 is no member', async () => !('baseline.vsmmu.io/gold' in (await labelsOf('n2'))));
  });

  await ctx.check(CONTROLLER.released, async () => {
    await admin.delete(`${VMIS}/db-1`);
    const status = await eventually('gold shrinks', async () => {
      const now = await statusOf('gold');
      return now.vsmmu?.ssidsize.value === 8 && now;
    });
    assert.equal(condition(status, 'HeldBack').status, 'False');
    assert.deepEqual(status.members, ['n1', 'n2']);
  });

  await ctx.check(CONTROLLER.cordoned, async () => {
    const nodes = ['n1', 'n2'];
    const ours = async () =>
      Promise.all(
        nodes.map(async (name) =>
          Object.entries(await labelsOf(name)).filter(([key]) => key.includes('vsmmu.io')),
        ),
      );
    const [labels, { members }] = [await ours(), await statusOf('gold')];
    await admin.create(VMIS, vmi('drained', { on: 'n1' }));
    // As kubectl and the node controller write it; both at once, as a parallel drain does.
    const unschedulable = {
      spec: {
        unschedulable: true,
        taints: [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }],
      },
    };
    await Promise.all(nodes.map((name) => admin.patch(`${NODES}/${name}`, 'merge', unschedulable)));
    await admin.delete(`${VMIS}/drained`);
    const condition = { type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', message: 'it boots' };
    await Promise.all(
      nodes.map((name) =>
        admin.patch(`${NODES}/${name}/status`, 'merge', { status: { conditions: [condition] } }),
      ),
    );
    await replaceProfile('n2', { ssidsize: 6 }); // its agent is back first, with another kernel
    await eventually(
      'n2 tells what it can do now',
      async () => (await labelsOf('n2'))['vsmmu.io/ssidsize'] === '6',
    );
    assert.deepEqual((await statusOf('gold')).members, members);
    await replaceProfile('n2', { ssidsize: 8, ril: 'off' });
    await eventually('n2 is as it was', async () => (await labelsOf('n2'))['vsmmu.io/ssidsize'] === '8');
    assert.deepEqual(await ours(), labels);
    await Promise.all(
      nodes.map((name) =>
        admin.patch(`${NODES}/${name}`, 'merge', { spec: { unschedulable: null, taints: null } }),
      ),
    );
    assert.deepEqual(await ours(), labels);
  });

  await ctx.check(CONTROLLER.vanished, async () => {
    await admin.create(PROFILES, profile('n3'));
    await eventually('n3 is a member', async () => 'baseline.vsmmu.io/gold' in (await labelsOf('n3')));
    await admin.delete(`${NODES}/n3`);
    await eventually('its profile is gone', async () => {
      const { status } = await admin.exchange('GET', `${PROFILES}/n3`);
      return status === 404;
    });
    await admin.create(NODES, node('n3', { 'vsmmu.io/accel': 'on', 'baseline.vsmmu.io/gold': 'member' }));
    await eventually('it has no labels of ours', async () =>
      Object.keys(await labelsOf('n3')).every((key) => !key.includes('vsmmu.io')),
    );
  });

  await ctx.check(CONTROLLER.broken, async () => {
    const bad = profile('n3');
    bad.spec.node = 'n1';
    await admin.create(PROFILES, bad).catch(() => undefined);
    await replaceProfile('n2', { ssidsize: 12 });
    await eventually('n2 is labelled anew', async () => (await labelsOf('n2'))['vsmmu.io/ssidsize'] === '12');
    assert.equal((await labelsOf('n1'))['vsmmu.io/ssidsize'], '20');
    assert.equal((await labelsOf('n3'))['vsmmu.io/ssidsize'], undefined);
  });

  let second = new Replica(ctx, file);
  await ctx.check(CONTROLLER.killed, async () => {
    const [one, two] = [await first.identity(), await second.identity()];
    assert.equal(await leader(cluster), one);
    await first.end('SIGKILL');
    await replaceProfile('n2', { ssidsize: 10 });
    await eventually('the other leads', async () => (await leader(cluster)) === two, 30);
    await eventually(
      'it does what was missed',
      async () => (await labelsOf('n2'))['vsmmu.io/ssidsize'] === '10',
    );
    assert.ok(!second.said('"level":"error"'));
  });

  await ctx.check(CONTROLLER.stopped, async () => {
    first = new Replica(ctx, file);
    const one = await first.identity();
    const leading = second;
    assert.equal(await leading.end('SIGTERM'), 0);
    const lease = await leader(cluster);
    assert.ok(lease === '' || lease === one, `the lease is still held by ${lease}`);
    await eventually('the other leads', async () => (await leader(cluster)) === one);
    second = first;
  });

  await ctx.check(CONTROLLER.apiServer, async () => {
    await cluster.killApiServer();
    await cluster.startApiServer();
    await replaceProfile('n2', { ssidsize: 9 });
    await eventually('labels follow', async () => (await labelsOf('n2'))['vsmmu.io/ssidsize'] === '9', 60);
    assert.equal(first.child.exitCode, null);
  });
  await first.end('SIGTERM');
}
