import assert from 'node:assert/strict';
import { NAMESPACE, vmi, VMIS } from '../webhook/vmi.mjs';
import { callsOf } from '../webhook/webhook.mjs';

const DRA = '/apis/resource.k8s.io/v1';
const TEMPLATES = `${DRA}/namespaces/${NAMESPACE}/resourceclaimtemplates`;
const CLAIMS = `${DRA}/namespaces/${NAMESPACE}/resourceclaims`;
const SIDECARS = 'hooks.kubevirt.io/hookSidecars';
const REQUIRE = 'vsmmu.io/require';
const RESOLVED = 'vsmmu.io/resolved';

export const CLAIMED = {
  template: 'a VMI whose template of our class was created just before it gets hook, mark and values',
  claim: 'a VMI that asks by a claim, in a class of another name that selects our devices, too',
  unmarked: 'nobody takes the mark away by which such a VMI is known: its hooks would be free',
  foreign: 'a VMI with another driver’s claim: one call at its creation, nothing changed, none at updates',
  missing: 'a claim that is not there gives a warning with the remedy, and the VMI passes',
};

/** A VMI that asks by claims, as KubeVirt has it. @param {object} reference resourceClaimName or resourceClaimTemplateName */
function claiming(name, reference) {
  const object = vmi(name);
  object.spec.domain.devices.gpus = [{ name: 'gpu0', claimName: 'gpu', requestName: 'one' }];
  object.spec.resourceClaims = [{ name: 'gpu', ...reference }];
  return object;
}

const spec = (deviceClassName) => ({
  devices: { requests: [{ name: 'one', exactly: { deviceClassName } }] },
});

export async function claimChecks(ctx, cluster, { mutating, validating }) {
  const { admin } = cluster;
  const calls = () =>
    Promise.all(
      [...new Set([...mutating.webhooks, ...validating.webhooks].map(({ name }) => name))].map((name) =>
        callsOf(cluster, name),
      ),
    );
  const sum = (counts) => counts.reduce((total, count) => total + count, 0);
  const handTo = async (name, node) => {
    const object = await admin.get(`${VMIS}/${name}`);
    object.status = { ...object.status, phase: 'Scheduled', nodeName: node };
    return admin.replace(`${VMIS}/${name}`, object);
  };
  for (const [name, driver] of [
    ['vsmmu.io', 'vsmmu.io'],
    ['grace', 'vsmmu.io'],
    ['foreign', 'gpu.example'],
  ]) {
    const selectors = [{ cel: { expression: `device.driver == "${driver}"` } }];
    await admin.create(`${DRA}/deviceclasses`, { metadata: { name }, spec: { selectors } });
  }

  await ctx.check(CLAIMED.template, async () => {
    await admin.create(TEMPLATES, { metadata: { name: 'two' }, spec: { spec: spec('vsmmu.io') } });
    const created = await admin.create(VMIS, claiming('by-template', { resourceClaimTemplateName: 'two' }));
    const { annotations } = created.metadata;
    assert.equal(annotations[REQUIRE], '');
    assert.equal(JSON.parse(annotations[SIDECARS]).length, 1);
    const { metadata } = await handTo('by-template', 'node-a');
    assert.equal(JSON.parse(metadata.annotations[RESOLVED]).node, 'node-a');
  });
  await ctx.check(CLAIMED.claim, async () => {
    await admin.create(CLAIMS, { metadata: { name: 'mine' }, spec: spec('grace') });
    const created = await admin.create(VMIS, claiming('by-claim', { resourceClaimName: 'mine' }));
    assert.equal(created.metadata.annotations[REQUIRE], '');
  });
  await ctx.check(CLAIMED.unmarked, async () => {
    const object = await admin.get(`${VMIS}/by-claim`);
    delete object.metadata.annotations[REQUIRE];
    const { status, body } = await admin.exchange('PUT', `${VMIS}/by-claim`, { body: object });
    assert.equal(status, 403, JSON.stringify(body));
    assert.match(body.message, /vsmmu\.io\/require\].*stays/);
  });
  await ctx.check(CLAIMED.foreign, async () => {
    await admin.create(CLAIMS, { metadata: { name: 'theirs' }, spec: spec('foreign') });
    const before = sum(await calls());
    const created = await admin.create(VMIS, claiming('foreign', { resourceClaimName: 'theirs' }));
    assert.equal(created.metadata.annotations, undefined);
    await handTo('foreign', 'node-a');
    assert.equal(sum(await calls()) - before, 1);
  });
  await ctx.check(CLAIMED.missing, async () => {
    const body = claiming('missing', { resourceClaimName: 'later' });
    const { status, warnings } = await admin.exchange('POST', VMIS, { body });
    assert.equal(status, 201);
    assert.match(warnings.join(), /ResourceClaim later is not there yet.*vsmmu\.io\/require/);
  });
}
