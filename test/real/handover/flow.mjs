import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { devicesOverNodes } from '../kubelet/recording.mjs';
import { vmi, VMIS } from '../webhook/vmi.mjs';
import { callsOf } from '../webhook/webhook.mjs';

const RESOLVED = 'vsmmu.io/resolved';
const SIDECARS = 'hooks.kubevirt.io/hookSidecars';
const CONTROLLER = 'system:serviceaccount:kubevirt:kubevirt-controller';
const HANDLER = 'system:serviceaccount:kubevirt:kubevirt-handler';

export const FLOW = {
  handOver: 'virt-controller’s write that names the node comes out with that node’s values in it',
  once: 'a VMI of ours costs one call at its creation, two where another hook or a doubled device is in question',
  later: 'virt-handler’s later updates cause no call of any webhook and keep the values',
  unknown:
    'a node without a NodeProfile: a warning, no values; the next update after its agent came heals it',
  moved: 'values of another node are replaced when the VMI is handed to a node',
  edited: 'a user’s edit of the values is refused with the field; other annotations are free',
  removed: 'removed values come back with the next update',
  forged: 'a creation with values of the user’s own gets none',
  doubled: 'one resource in gpus and hostDevices is refused with both fields’ place and a remedy',
  hooks: 'another hook in a VMI with our devices is refused, at its creation and in a later edit',
  impossible: 'a wish that no node can grant is refused, with the node and the reason',
  unrelated: 'VMIs without our devices cause no call, neither at creation nor at updates',
  restarted: 'a webhook that restarted has the node’s values before it is ready',
};

export async function flowChecks(ctx, cluster, { webhook, publish, mutating, validating }) {
  const { admin } = cluster;
  const controller = cluster.as(CONTROLLER, [
    'system:serviceaccounts',
    'system:authenticated',
    'system:masters',
  ]);
  const handler = cluster.as(HANDLER, ['system:serviceaccounts', 'system:authenticated', 'system:masters']);
  const user = cluster.as('jane', ['system:authenticated', 'system:masters']);
  const path = (name) => `${VMIS}/${name}`;
  const values = ({ metadata }) => metadata.annotations?.[RESOLVED];
  const nodeOf = (object) => (values(object) === undefined ? undefined : JSON.parse(values(object)).node);

  const names = new Set([...mutating.webhooks, ...validating.webhooks].map(({ name }) => name));
  /** Calls of each of our webhooks so far. */
  const calls = () => Promise.all([...names].map((name) => callsOf(cluster, name)));

  /** The one write of virt-controller's: phase, node, label. */
  const handTo = async (name, node) => {
    const object = await admin.get(path(name));
    object.metadata.labels = { ...object.metadata.labels, 'kubevirt.io/nodeName': node };
    object.status = { ...object.status, phase: 'Scheduled', nodeName: node };
    return controller.exchange('PUT', path(name), { body: object });
  };
  const update = async (client, name, change) => {
    const object = await admin.get(path(name));
    change(object);
    return client.exchange('PUT', path(name), { body: object });
  };
  const scheduled = async (name, node = 'node-a') => {
    await admin.create(VMIS, vmi(name, { gpus: 1 }));
    return handTo(name, node);
  };

  await ctx.check(FLOW.handOver, async () => {
    await admin.create(VMIS, vmi('vm', { gpus: 2 }));
    const { status, body, warnings } = await handTo('vm', 'node-a');
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(warnings, []);
    const { node, devices } = JSON.parse(values(body));
    assert.equal(node, 'node-a');
    assert.deepEqual(
      Object.keys(devices).sort(),
      devicesOverNodes(4, 2).map(({ bdf }) => bdf),
    );
    assert.equal(body.status.nodeName, 'node-a');
  });
  await ctx.check(FLOW.once, async () => {
    const called = async (body) => {
      const before = await calls();
      await user.exchange('POST', VMIS, { body, query: { dryRun: 'All' } });
      return (await calls()).reduce((sum, count, index) => sum + count - before[index], 0);
    };
    const foreign = { [SIDECARS]: JSON.stringify([{ image: 'registry.example/own:1' }]) };
    assert.equal(await called(vmi('once', { gpus: 2 })), 1);
    assert.equal(await called(vmi('once-required', { annotations: { 'vsmmu.io/require': '' } })), 1);
    assert.equal(await called(vmi('twice', { gpus: 1, annotations: foreign })), 2);
    assert.equal(await called(vmi('twice-doubled', { gpus: 1, hostDevices: 1 })), 2);
  });
  await ctx.check(FLOW.later, async () => {
    const before = await calls();
    for (const phase of ['Scheduled', 'Running', 'Running', 'Running']) {
      const { status, body } = await update(handler, 'vm', (object) => {
        object.status = { ...object.status, phase, guestOSInfo: { name: `${Math.random()}` } };
      });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(nodeOf(body), 'node-a');
    }
    assert.deepEqual(await calls(), before);
  });
  await ctx.check(FLOW.unknown, async () => {
    const { status, body, warnings } = await scheduled('early', 'node-b');
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(values(body), undefined);
    assert.match(warnings.join(), /node-b has no NodeProfile/);
    await publish('node-b', devicesOverNodes(2, 1));
    await eventually('the next update brings the values', async () => {
      const later = await update(handler, 'early', (object) => {
        object.status = { ...object.status, reason: `${Math.random()}` };
      });
      return nodeOf(later.body) === 'node-b';
    });
  });
  await ctx.check(FLOW.moved, async () => {
    await scheduled('moved');
    const { body } = await handTo('moved', 'node-b');
    assert.equal(nodeOf(body), 'node-b');
  });
  await ctx.check(FLOW.edited, async () => {
    await scheduled('edited');
    const forged = JSON.stringify({ version: 1, node: 'node-a', smmus: {}, groups: [], devices: {} });
    const refused = await update(user, 'edited', ({ metadata }) => (metadata.annotations[RESOLVED] = forged));
    assert.equal(refused.status, 403, JSON.stringify(refused.body));
    assert.match(refused.body.message, /metadata\.annotations\[vsmmu\.io\/resolved\]/);
    assert.equal(
      (await update(user, 'edited', ({ metadata }) => (metadata.annotations.mine = 'x'))).status,
      200,
    );
  });
  await ctx.check(FLOW.removed, async () => {
    await scheduled('removed');
    await update(user, 'removed', ({ metadata }) => delete metadata.annotations[RESOLVED]);
    const later = await update(handler, 'removed', (object) => (object.status.reason = 'x'));
    assert.equal(nodeOf(later.body), 'node-a');
  });
  await ctx.check(FLOW.forged, async () => {
    const created = await admin.create(
      VMIS,
      vmi('forged', { gpus: 1, annotations: { [RESOLVED]: '{"version":1}' } }),
    );
    assert.equal(values(created), undefined);
  });
  await ctx.check(FLOW.doubled, async () => {
    const { status, body } = await user.exchange('POST', VMIS, {
      body: vmi('doubled', { gpus: 1, hostDevices: 1 }),
    });
    assert.equal(status, 422, JSON.stringify(body));
    assert.match(body.message, /spec\.domain\.devices\.hostDevices\[0\]\.deviceName.*one list/s);
  });
  await ctx.check(FLOW.hooks, async () => {
    const foreign = JSON.stringify([{ image: 'registry.example/evil:1', imagePullPolicy: 'Always' }]);
    const body = vmi('hooks', { gpus: 1, annotations: { [SIDECARS]: foreign } });
    const refused = await user.exchange('POST', VMIS, { body });
    assert.equal(refused.status, 422, JSON.stringify(refused.body));
    assert.match(refused.body.message, /hookSidecars/);
    await admin.create(VMIS, vmi('edited-hooks', { gpus: 1 }));
    const later = await update(user, 'edited-hooks', ({ metadata }) => {
      metadata.annotations[SIDECARS] = foreign;
    });
    assert.equal(later.status, 403, JSON.stringify(later.body));
    assert.match(later.body.message, /hookSidecars\]\[0\].*no other hook/);
  });
  await ctx.check(FLOW.unrelated, async () => {
    const before = await calls();
    await admin.create(VMIS, vmi('plain', { gpus: 1, resource: 'other.example/gpu' }));
    assert.equal((await handTo('plain', 'node-a')).status, 200);
    await update(handler, 'plain', (object) => (object.status.phase = 'Running'));
    assert.deepEqual(await calls(), before);
  });
  await ctx.check(FLOW.impossible, async () => {
    for (const node of ['node-a', 'node-b'])
      await admin.delete(`/apis/vsmmu.io/v1alpha1/nodeprofiles/${node}`);
    await publish('node-weak', [{ bdf: '0001:01:00.0', ril: false }]);
    const annotations = { 'vsmmu.io/set': 'ril=on' };
    const body = vmi('impossible', { gpus: 1, annotations });
    const refused = await eventually('the webhook has seen the fleet of today', async () => {
      const answer = await user.exchange('POST', VMIS, { body, query: { dryRun: 'All' } });
      return answer.status === 422 && answer;
    });
    assert.match(
      refused.body.message,
      /spec\.domain\.devices: no node could start this VM: node node-weak: .*ril/i,
    );
    const modest = vmi('modest', { gpus: 1, annotations: { 'vsmmu.io/set': 'ril=off' } });
    assert.equal((await user.exchange('POST', VMIS, { body: modest, query: { dryRun: 'All' } })).status, 201);
    await publish('node-a', devicesOverNodes(4, 2));
  });
  await ctx.check(FLOW.restarted, async () => {
    await webhook.end('SIGTERM');
    await webhook.run();
    await eventually('it is ready', async () => (await webhook.ready()) === 200, 30);
    assert.equal(nodeOf((await scheduled('restarted')).body), 'node-a');
  });
}
