import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { pathsOf, renderChart } from '../kubernetes/chart.mjs';
import { vmi, VMIS } from '../webhook/vmi.mjs';
import { callsOf } from '../webhook/webhook.mjs';
import { publisherOf, reportOf } from './agent.mjs';
import { IMAGE, MUTATING, OWN_NAMESPACE, VALIDATING } from './installation.mjs';

const RESOLVED = 'vsmmu.io/resolved';
const SIDECARS = 'hooks.kubevirt.io/hookSidecars';
const PROFILES = '/apis/vsmmu.io/v1alpha1/nodeprofiles';

export const VALUES = {
  bootstrap: 'two replicas without any certificate make one authority, and both configurations trust it',
  rights: 'the account needs no right beside those of its role',
  handOver: 'the write that sets status.nodeName carries the node’s values, in the same write',
  unknown:
    'an unknown node: a warning that names it, no values; with the profile the next update brings them',
  changed:
    'a refused hook (Synchronized=False) gets the profile’s newer values with virt-handler’s own update',
  quiet: 'once it has its values, virt-handler’s updates cause no call',
  unrelated: 'a VMI without our devices causes no call of any of the webhooks, from its creation to its end',
  stripped: 'values that a user brings along at CREATE are taken away',
  forged: 'a later edit by a user is refused with 403, the field and a remedy; a label is not',
  forgedByOther: 'even KubeVirt’s controller can’t give a VMI another node’s values',
  unguarded:
    'with failurePolicy Ignore and no replica answering, a policy refuses values that are brought along at CREATE, and nothing else',
  removed: 'an annotation that was removed is written again with the next update',
  doubled: 'one device name in gpus and hostDevices is refused at its field',
  foreignHook: 'another hook beside ours is refused',
  impossible: 'explicit values that every node’s SMMU refuses are refused, node by node',
  required: 'vsmmu.io/require becomes an affinity to nodes; what no node has is refused, node by node',
  dryRun: 'a dry run of all of it stores nothing',
  stopped: 'both replicas stopped: the hand-over goes through without values, and the next update heals it',
  restarts: 'etcd and API server killed and restarted: within 5 s a changed profile is handed over',
};

export async function valueChecks(ctx, cluster, product, installation) {
  const { admin } = cluster;
  const controller = cluster.as('system:serviceaccount:kubevirt:kubevirt-controller', ['system:masters']);
  const handler = cluster.as('system:serviceaccount:kubevirt:kubevirt-handler', ['system:masters']);
  const user = cluster.as('alice', ['system:masters']);
  const report = await reportOf(ctx, product);
  const gpu7 = publisherOf(product, cluster, 'gpu-7');
  await gpu7.publish(report, ctx.signal);

  const resolved = ({ metadata }) => metadata.annotations?.[RESOLVED];
  /** virt-controller's one full update when the pod is ready (pkg/virt-controller/watch/vmi/lifecycle.go). */
  const handOver = async (name, node, client = controller) => {
    const current = await admin.get(`${VMIS}/${name}`);
    return client.exchange('PUT', `${VMIS}/${name}`, {
      body: {
        ...current,
        metadata: {
          ...current.metadata,
          labels: { ...current.metadata.labels, 'kubevirt.io/nodeName': node },
        },
        status: { ...current.status, phase: 'Scheduled', nodeName: node },
      },
    });
  };
  /** virt-handler's update of the status. */
  const heartbeat = async (name, status) => {
    const current = await admin.get(`${VMIS}/${name}`);
    return handler.replace(`${VMIS}/${name}`, { ...current, status: { ...current.status, ...status } });
  };
  const failing = [
    { type: 'Synchronized', status: 'False', reason: 'Synchronizing with the Domain failed.' },
  ];
  const create = (name, options) => admin.create(VMIS, vmi(name, { gpus: 1, ...options }));
  // In force from here on: nothing that the webhook writes may meet it.
  await noForgedValues(ctx, admin);

  await ctx.check(VALUES.bootstrap, async () => {
    const start = performance.now();
    await installation.start(2);
    ctx.log(`two replicas ready ${Math.round(performance.now() - start)} ms after their start`);
    const bundles = await Promise.all(
      [MUTATING, VALIDATING].map(async (path) =>
        (await admin.get(path)).webhooks.map((one) => one.clientConfig.caBundle),
      ),
    );
    assert.equal(new Set(bundles.flat()).size, 1);
    const pem = Buffer.from(bundles[0][0], 'base64').toString();
    assert.equal(pem.match(/BEGIN CERTIFICATE/g).length, 1);
    await eventually('the API server calls the webhook', async () => {
      const shown = await admin.create(VMIS, vmi('first', { gpus: 1 }), { dryRun: 'All' });
      return shown.metadata.annotations?.[SIDECARS] !== undefined;
    });
  });
  await ctx.check(VALUES.rights, async () => {
    const refused = (await cluster.audit()).filter(
      ({ user: { username }, responseStatus }) =>
        username.endsWith(':vsmmu-webhook') && responseStatus?.code === 403,
    );
    assert.deepEqual(refused, []);
  });
  await ctx.check(VALUES.handOver, async () => {
    const created = await create('given');
    const { status, body } = await handOver('given', 'gpu-7');
    assert.equal(status, 200, JSON.stringify(body));
    const { node, devices, smmus } = JSON.parse(resolved(body));
    assert.equal(node, 'gpu-7');
    assert.equal(Object.keys(devices).length, 3);
    assert.equal(Object.keys(smmus).length, 2);
    assert.deepEqual(body.spec, created.spec);
    const patches = (await cluster.audit()).filter(
      ({ objectRef, verb }) => objectRef?.name === 'given' && verb === 'update',
    );
    assert.equal(patches.length, 1, 'it took more than the one write');
  });
  await ctx.check(VALUES.unknown, async () => {
    await create('waiting');
    const { status, body, warnings } = await handOver('waiting', 'gpu-9');
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(resolved(body), undefined);
    assert.match(warnings.join(), /gpu-9 has no NodeProfile/);
    await publisherOf(product, cluster, 'gpu-9').publish(report, ctx.signal);
    await eventually('the next update brings the values', async () => {
      const updated = await heartbeat('waiting', { conditions: failing });
      return resolved(updated)?.includes('"node":"gpu-9"');
    });
  });
  await ctx.check(VALUES.changed, async () => {
    const before = resolved(await admin.get(`${VMIS}/given`));
    const fewer = { ...report, devices: report.devices.filter(({ bdf }) => bdf !== '0019:01:00.0') };
    await gpu7.publish(fewer, ctx.signal);
    await heartbeat('given', { interfaces: [{ ipAddress: '10.0.0.1' }] });
    assert.equal(resolved(await admin.get(`${VMIS}/given`)), before, 'values changed without need');
    await eventually('the newer values', async () => {
      const updated = await heartbeat('given', { conditions: failing });
      return !resolved(updated).includes('0019:01:00.0');
    });
    await gpu7.publish(report, ctx.signal);
  });
  await ctx.check(VALUES.quiet, async () => {
    await create('running');
    await handOver('running', 'gpu-7');
    await uncalled(cluster, async () => {
      for (let i = 0; i < 20; i++) await heartbeat('running', { interfaces: [{ ipAddress: `10.0.0.${i}` }] });
      await heartbeat('running', { phase: 'Running' });
      for (let i = 0; i < 20; i++) await heartbeat('running', { interfaces: [{ ipAddress: `10.0.1.${i}` }] });
    });
  });
  await ctx.check(VALUES.unrelated, () =>
    uncalled(cluster, async () => {
      await admin.create(VMIS, vmi('plain', { gpus: 1, resource: 'other.example/gpu' }));
      await handOver('plain', 'gpu-7');
      await heartbeat('plain', { phase: 'Running', conditions: failing });
      await admin.delete(`${VMIS}/plain`);
    }),
  );
  await ctx.check(VALUES.stripped, async () => {
    const annotations = { [RESOLVED]: resolved(await admin.get(`${VMIS}/given`)) };
    assert.equal(resolved(await create('brought', { annotations })), undefined);
    const plain = await admin.create(VMIS, vmi('brought-plain', { annotations }));
    assert.equal(resolved(plain), undefined);
  });
  await ctx.check(VALUES.forged, async () => {
    const forged = JSON.stringify({
      ...JSON.parse(resolved(await admin.get(`${VMIS}/running`))),
      groups: [],
      devices: {},
    });
    const edit = (annotations) =>
      user.exchange('PATCH', `${VMIS}/running`, {
        contentType: 'application/merge-patch+json',
        body: { metadata: { annotations } },
      });
    const { status, body } = await edit({ [RESOLVED]: forged });
    assert.equal(status, 403, JSON.stringify(body));
    assert.match(body.message, /metadata\.annotations\[vsmmu\.io\/resolved\].*only the webhook/);
    assert.equal((await edit({ other: 'x' })).status, 200);
  });
  await ctx.check(VALUES.forgedByOther, async () => {
    const current = await admin.get(`${VMIS}/running`);
    const annotation = resolved(await admin.get(`${VMIS}/waiting`));
    const annotations = { ...current.metadata.annotations, [RESOLVED]: annotation };
    const { status } = await controller.exchange('PUT', `${VMIS}/running`, {
      body: { ...current, metadata: { ...current.metadata, annotations } },
    });
    assert.equal(status, 403);
  });
  await ctx.check(VALUES.removed, async () => {
    const { body } = await user.exchange('PATCH', `${VMIS}/given`, {
      contentType: 'application/merge-patch+json',
      body: { metadata: { annotations: { [RESOLVED]: null } } },
    });
    assert.match(resolved(body), /"node":"gpu-7"/, 'that very write could have brought it');
  });
  await ctx.check(VALUES.doubled, async () => {
    const { status, body } = await admin.exchange('POST', VMIS, {
      body: vmi('doubled', { gpus: 1, hostDevices: 1 }),
    });
    assert.equal(status, 422, JSON.stringify(body));
    assert.equal(body.details.causes[0].field, 'spec.domain.devices.hostDevices[0].deviceName');
  });
  await ctx.check(VALUES.foreignHook, async () => {
    const annotations = { [SIDECARS]: JSON.stringify([{ image: 'registry.example/evil:1' }]) };
    const { status, body } = await admin.exchange('POST', VMIS, {
      body: vmi('evil', { gpus: 1, annotations }),
    });
    assert.equal(status, 422, JSON.stringify(body));
    assert.ok(body.message.includes(IMAGE), body.message);
  });
  await ctx.check(VALUES.impossible, async () => {
    const annotations = { 'vsmmu.io/set': 'oas=52' };
    const { status, body } = await admin.exchange('POST', VMIS, {
      body: vmi('impossible', { gpus: 1, annotations }),
    });
    assert.equal(status, 422, JSON.stringify(body));
    for (const node of ['gpu-7', 'gpu-9']) assert.match(body.message, new RegExp(`node ${node}: oas=52`));
  });
  await ctx.check(VALUES.required, async () => {
    const created = await create('required', { annotations: { 'vsmmu.io/require': 'accel, oas>=44' } });
    const { nodeSelectorTerms } =
      created.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution;
    assert.deepEqual(nodeSelectorTerms, [
      {
        matchExpressions: [
          { key: 'vsmmu.io/accel', operator: 'In', values: ['on'] },
          { key: 'vsmmu.io/oas', operator: 'Gt', values: ['43'] },
        ],
      },
    ]);
    const annotations = { 'vsmmu.io/require': 'oas>=52' };
    const { status, body } = await admin.exchange('POST', VMIS, {
      body: vmi('lacking', { gpus: 1, annotations }),
    });
    assert.equal(status, 422, JSON.stringify(body));
    for (const node of ['gpu-7', 'gpu-9'])
      assert.match(body.message, new RegExp(`node ${node} lacks oas>=52`));
  });
  await ctx.check(VALUES.dryRun, async () => {
    const shown = await admin.create(VMIS, vmi('dry', { gpus: 1 }), { dryRun: 'All' });
    assert.ok(shown.metadata.annotations[SIDECARS].includes(IMAGE));
    await assert.rejects(admin.get(`${VMIS}/dry`), { status: 404 });
  });
  await ctx.check(VALUES.stopped, async () => {
    await create('stopped');
    for (const replica of installation.replicas) replica.signal('SIGSTOP');
    try {
      const { status, body } = await handOver('stopped', 'gpu-7');
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(resolved(body), undefined);
    } finally {
      for (const replica of installation.replicas) replica.signal('SIGCONT');
    }
    await eventually('the next update heals it', async () =>
      resolved(await heartbeat('stopped', { conditions: failing })),
    );
  });
  await ctx.check(VALUES.unguarded, async () => {
    const setFailurePolicy = (value) =>
      Promise.all(
        [MUTATING, VALIDATING].map((path) =>
          admin.patch(path, 'json', [{ op: 'replace', path: '/webhooks/0/failurePolicy', value }]),
        ),
      );
    const bring = (annotations, options) =>
      user.exchange('POST', VMIS, {
        body: vmi('unguarded', { annotations, ...options }),
        query: { dryRun: 'All' },
      });
    const forged = { [RESOLVED]: resolved(await admin.get(`${VMIS}/running`)) };
    await setFailurePolicy('Ignore');
    await installation.unreachable(async () => {
      let refused;
      await eventually('failurePolicy Ignore is in force', async () => {
        refused = await bring(forged, { gpus: 1 });
        return refused.status !== 500;
      });
      for (const { status, body } of [refused, await bring({ [RESOLVED]: '' })]) {
        assert.equal(status, 422, JSON.stringify(body));
        assert.match(body.message, /no-forged-values.*only the webhook of vsmmu writes the annotation/);
      }
      for (const annotations of [undefined, { other: 'x' }])
        assert.equal((await bring(annotations, { gpus: 1 })).status, 201);
    });
    await setFailurePolicy('Fail');
  });
  await ctx.check(VALUES.restarts, async () => {
    await create('restarted');
    await cluster.killApiServer();
    await cluster.killEtcd();
    await cluster.startEtcd();
    await cluster.startApiServer();
    const back = performance.now();
    const fewer = { ...report, devices: report.devices.filter(({ bdf }) => bdf !== '000a:01:00.0') };
    await publisherOf(product, cluster, 'gpu-7').publish(fewer, ctx.signal);
    await handOver('restarted', 'gpu-7');
    await eventually('the changed profile', async () => {
      const value = resolved(await heartbeat('restarted', { conditions: failing }));
      return value !== undefined && !value.includes('000a:01:00.0');
    });
    const seconds = (performance.now() - back) / 1000;
    ctx.log(`${seconds.toFixed(1)} s after the API server was back`);
    assert.ok(seconds < 5, `it took ${seconds} s`);
    await admin.delete(`${PROFILES}/gpu-9`);
  });
}

/** The chart's own policy. */
async function noForgedValues(ctx, admin) {
  const objects = await renderChart(ctx, {
    namespace: OWN_NAMESPACE,
    args: ['--api-versions', 'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy'],
  });
  const policy = objects.filter(({ metadata }) => metadata.name.endsWith('-no-forged-values'));
  assert.equal(policy.length, 2, 'policy and binding');
  for (const object of policy) await admin.create(pathsOf(object).collection, object);
}

async function uncalled(cluster, act) {
  const names = ['virtualmachineinstances.vsmmu.io', 'handover.vsmmu.io', 'annotation.vsmmu.io'];
  const calls = async () => Promise.all(names.map((name) => callsOf(cluster, name)));
  const before = await calls();
  await act();
  assert.deepEqual(await calls(), before, 'a webhook was called');
}
