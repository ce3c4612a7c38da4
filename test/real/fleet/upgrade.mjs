import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { POLICIES, policy } from './objects.mjs';
import { Replica } from './replica.mjs';

export const UPGRADE = {
  stored:
    'a newer version becomes the stored one under a running controller: both versions are served, nothing is lost',
  migrated: 'once every object is written anew the old version is stored no more, and the controller goes on',
};

const DEFINITION = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/policies.vsmmu.io';
const NEWER = '/apis/vsmmu.io/v1beta1/policies';

/** As a release will do it that stores policies as v1beta1 and still serves v1alpha1. */
export async function upgradeChecks(ctx, cluster, file) {
  const { admin } = cluster;
  const condition = async (name) => (await admin.get(`${POLICIES}/${name}`)).status?.conditions?.[0];
  const told = (name, reason) =>
    eventually(
      `the status of ${name} says ${reason}`,
      async () => (await condition(name))?.reason === reason,
    );
  const spec = {
    priority: 7,
    properties: { ssidsize: 16, ats: 'off' },
    vmiSelector: { matchLabels: { a: 'b' } },
  };
  await admin.create(POLICIES, policy('stored-before', spec));
  const controller = new Replica(ctx, file);
  await told('stored-before', 'Applied');

  await ctx.check(UPGRADE.stored, async () => {
    const definition = await admin.get(DEFINITION);
    const [old] = definition.spec.versions;
    definition.spec.versions = [
      { ...old, storage: false },
      { ...old, name: 'v1beta1', storage: true },
    ];
    await admin.replace(DEFINITION, definition);
    await eventually('v1beta1 is served', () => admin.get(NEWER));
    assert.deepEqual((await admin.get(`${NEWER}/stored-before`)).spec, spec);
    await eventually('the API server stores v1beta1', async () => {
      const { status } = await admin.get(DEFINITION);
      return status.storedVersions.includes('v1beta1');
    });
    await admin.create(NEWER, {
      ...policy('stored-after', { baseline: 'no-such' }),
      apiVersion: 'vsmmu.io/v1beta1',
    });
    await told('stored-after', 'BaselineMissing');
    const late = await admin.exchange('POST', NEWER, {
      body: { ...policy('refused', { properties: { oas: 46 } }), apiVersion: 'vsmmu.io/v1beta1' },
    });
    assert.equal(late.status, 422);
  });

  await ctx.check(UPGRADE.migrated, async () => {
    for (const { metadata } of (await admin.get(NEWER)).items) {
      const path = `${NEWER}/${metadata.name}`;
      await eventually(`${metadata.name} is written anew`, async () => {
        const current = await admin.get(path);
        return (await admin.exchange('PUT', path, { body: current })).status === 200;
      });
    }
    await admin.patch(`${DEFINITION}/status`, 'merge', { status: { storedVersions: ['v1beta1'] } });
    assert.deepEqual((await admin.get(DEFINITION)).status.storedVersions, ['v1beta1']);
    assert.deepEqual((await admin.get(`${POLICIES}/stored-before`)).spec, spec);
    const current = await admin.get(`${POLICIES}/stored-before`);
    await admin.replace(`${POLICIES}/stored-before`, { ...current, spec: { ...spec, baseline: 'no-such' } });
    await told('stored-before', 'BaselineMissing');
    assert.equal(controller.child.exitCode, null);
  });
  await controller.end('SIGTERM');
  for (const name of ['stored-before', 'stored-after']) await admin.delete(`${POLICIES}/${name}`);
}
