import assert from 'node:assert/strict';
import { callsOf, IMAGE } from './webhook.mjs';
import { NAMESPACE, OURS, vmi, VMIS } from './vmi.mjs';

const SIDECARS = 'hooks.kubevirt.io/hookSidecars';
const RESOLVED = 'vsmmu.io/resolved';

export const CREATE = {
  gpu: 'a VMI with a GPU of ours gets the hook sidecar, and nothing else is changed',
  hostDevice: 'a VMI with a host device of ours gets it too',
  require: 'a VMI with the annotation vsmmu.io/require gets it too',
  dryRun: 'a dry run shows the same and stores nothing',
  unrelated: 'a VMI without our devices causes no call at all (the API server’s metric and audit log)',
  others: 'VMI updates and other objects cause no call',
  kept: 'the user’s own sidecars stay, in their order, and ours comes last',
  malformed: 'sidecars that are no JSON are refused with the field and a remedy',
  stripped: 'a vsmmu.io/resolved of the user’s own is taken away',
  apply: 'server-side apply and generateName work as well',
  oldVersion: 'a VMI created as v1alpha3 is patched as well',
  system: 'the control plane’s own namespaces are left alone',
  audit: 'the audit log says that the webhook patched, and no more than the patch',
  twice: 'a VMI that has our sidecar already (exported, imported) is not changed',
};

export async function createChecks(ctx, cluster, webhook) {
  const { admin } = cluster;
  const hook = webhook.configuration.webhooks[0].name;
  const sidecars = ({ metadata }) => JSON.parse(metadata.annotations?.[SIDECARS] ?? '[]');
  const uncalled = async (act) => {
    const before = await callsOf(cluster, hook);
    await act();
    assert.equal((await callsOf(cluster, hook)) - before, 0, 'the webhook was called');
  };

  await ctx.check(CREATE.gpu, async () => {
    const asked = vmi('gpu', { gpus: 2 });
    const created = await admin.create(VMIS, asked);
    assert.deepEqual(sidecars(created), [{ args: ['hook'], image: IMAGE, imagePullPolicy: 'IfNotPresent' }]);
    assert.deepEqual(created.spec, JSON.parse(JSON.stringify(asked.spec)));
    assert.deepEqual(Object.keys(created.metadata.annotations), [SIDECARS]);
    assert.equal(created.metadata.labels, undefined);
  });
  await ctx.check(CREATE.hostDevice, async () => {
    assert.equal(sidecars(await admin.create(VMIS, vmi('host-device', { hostDevices: 1 }))).length, 1);
  });
  await ctx.check(CREATE.require, async () => {
    const asked = vmi('require', {
      gpus: 1,
      resource: 'other.example/gpu',
      annotations: { 'vsmmu.io/require': 'ats' },
    });
    const { status, body } = await admin.exchange('POST', VMIS, { body: asked });
    assert.equal(status, 201, JSON.stringify(body));
    assert.equal(sidecars(body).length, 1);
  });
  await ctx.check(CREATE.dryRun, async () => {
    const shown = await admin.create(VMIS, vmi('dry', { gpus: 1 }), { dryRun: 'All' });
    assert.equal(sidecars(shown).length, 1);
    await assert.rejects(admin.get(`${VMIS}/dry`), { status: 404 });
  });
  await ctx.check(CREATE.unrelated, () =>
    uncalled(async () => {
      await admin.create(VMIS, vmi('plain'));
      await admin.create(VMIS, vmi('foreign', { gpus: 1, hostDevices: 1, resource: 'other.example/gpu' }));
      const similar = `not-${OURS}`;
      await admin.create(
        VMIS,
        vmi('similar', { gpus: 1, resource: similar, annotations: { a: 'vsmmu.io/' } }),
      );
      const events = (await cluster.audit()).filter(({ objectRef }) =>
        ['plain', 'foreign', 'similar'].includes(objectRef?.name),
      );
      assert.equal(events.length, 3);
      for (const { annotations } of events) {
        assert.deepEqual(
          Object.keys(annotations ?? {}).filter((key) => key.includes('webhook')),
          [],
        );
      }
    }),
  );
  await ctx.check(CREATE.others, () =>
    uncalled(async () => {
      const current = await admin.get(`${VMIS}/plain`);
      current.metadata.labels = { changed: 'true' };
      await admin.replace(`${VMIS}/plain`, current);
      await admin.create(`/api/v1/namespaces/${NAMESPACE}/configmaps`, {
        metadata: { name: 'x' },
        data: { a: OURS },
      });
      await admin.delete(`${VMIS}/plain`);
    }),
  );
  await ctx.check(CREATE.kept, async () => {
    const own = [
      { image: 'registry.example/own:1', imagePullPolicy: 'Always', args: ['--x'] },
      { image: 'registry.example/own:2', imagePullPolicy: 'IfNotPresent' },
    ];
    const created = await admin.create(
      VMIS,
      vmi('kept', { gpus: 1, annotations: { [SIDECARS]: JSON.stringify(own), other: 'stays' } }),
    );
    assert.deepEqual(sidecars(created).slice(0, 2), own);
    assert.equal(sidecars(created)[2].image, IMAGE);
    assert.equal(created.metadata.annotations.other, 'stays');
  });
  await ctx.check(CREATE.malformed, async () => {
    const asked = vmi('malformed', { gpus: 1, annotations: { [SIDECARS]: '[{' } });
    const { status, body } = await admin.exchange('POST', VMIS, { body: asked });
    assert.equal(status, 422);
    assert.match(body.message, /hooks\.kubevirt\.io\/hookSidecars/);
    assert.match(body.message, /HOOK_SIDECARS_MALFORMED/);
  });
  await ctx.check(CREATE.stripped, async () => {
    const forged = { [RESOLVED]: '{"version":1,"node":"mine","smmus":{},"groups":[],"devices":{}}' };
    const created = await admin.create(VMIS, vmi('forged', { gpus: 1, annotations: forged }));
    assert.deepEqual(Object.keys(created.metadata.annotations), [SIDECARS]);
    const unrelated = await admin.create(VMIS, vmi('forged-plain', { annotations: forged }));
    assert.equal(unrelated.metadata.annotations?.[RESOLVED], undefined);
  });
  await ctx.check(CREATE.apply, async () => {
    const applied = await admin.apply(`${VMIS}/applied`, vmi('applied', { gpus: 1 }));
    assert.equal(sidecars(applied).length, 1);
    const again = await admin.apply(`${VMIS}/applied`, vmi('applied', { gpus: 1 }));
    assert.equal(sidecars(again).length, 1);
    const { metadata, ...rest } = vmi('', { gpus: 1 });
    const generated = await admin.create(VMIS, {
      ...rest,
      metadata: { namespace: metadata.namespace, generateName: 'vm-' },
    });
    assert.equal(sidecars(generated).length, 1);
  });
  await ctx.check(CREATE.oldVersion, async () => {
    const old = { ...vmi('old', { gpus: 1 }), apiVersion: 'kubevirt.io/v1alpha3' };
    const created = await admin.create(VMIS.replace('/v1/', '/v1alpha3/'), old);
    assert.equal(created.apiVersion, 'kubevirt.io/v1alpha3');
    assert.equal(sidecars(created).length, 1);
  });
  await ctx.check(CREATE.system, () =>
    uncalled(async () => {
      const inSystem = vmi('system', { gpus: 1 });
      inSystem.metadata.namespace = 'kube-system';
      await admin.create(VMIS.replace(`/${NAMESPACE}/`, '/kube-system/'), inSystem);
    }),
  );
  await ctx.check(CREATE.audit, async () => {
    const [event] = (await cluster.audit()).filter(
      ({ objectRef, verb }) => objectRef?.name === 'gpu' && verb === 'create',
    );
    const patches = Object.entries(event.annotations).filter(([key]) => key.startsWith('patch.webhook'));
    assert.equal(patches.length, 1);
    const { webhook: name, patch } = JSON.parse(patches[0][1]);
    assert.equal(name, hook);
    assert.deepEqual(
      patch.map(({ op, path }) => [op, path]),
      [['add', '/metadata/annotations']],
    );
  });
  await ctx.check(CREATE.twice, async () => {
    const exported = await admin.get(`${VMIS}/gpu`);
    const { annotations } = exported.metadata;
    const imported = await admin.create(VMIS, vmi('imported', { gpus: 2, annotations }));
    assert.deepEqual(imported.metadata.annotations, annotations);
  });
}
