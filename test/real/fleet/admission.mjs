import assert from 'node:assert/strict';
import { Installation, MUTATING, VALIDATING } from '../admission/installation.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { loadProduct } from '../kubernetes/product.mjs';
import { BASELINES, POLICIES, policy, vmi, VMIS } from './objects.mjs';

export const ADMISSION = {
  decided:
    '`vsmmu webhook --policies`: a new VMI gets values of policy and baseline, affinity and hook arguments',
  own: 'what its user set stands before both, and what cannot be resolved is refused with its field',
  devices: 'what the baseline says of devices goes with the VMI, and their models with its node’s values',
  changed: 'a changed policy is what the next VMI gets; those that are there stay as they are',
};

/** What --policies needs beside a webhook without it (docs/webhook.md). */
const READS = [
  { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['vsmmu.io'], resources: ['policies', 'baselines'], verbs: ['get', 'list', 'watch'] },
];

export async function admissionChecks(ctx, cluster) {
  const { admin } = cluster;
  const installation = await Installation.create(ctx, cluster, await loadProduct(ctx), READS);
  try {
    await admin.create(
      POLICIES,
      policy('admitted', {
        vmiSelector: { matchLabels: { app: 'admitted' } },
        baseline: 'gold',
        properties: { oas: 44 },
        topology: 'complete',
        unknownAts: 'no',
      }),
    );
    // Profiles here are written by no agent, so they have no age.
    await installation.start(1, ['--policies', '--max-profile-age', '0']);
    const create = (name, annotations = {}) => {
      const object = vmi(name, { annotations });
      object.metadata.labels = { app: 'admitted' };
      return admin.exchange('POST', VMIS, { body: object });
    };
    const setOf = ({ body }) => body.metadata.annotations['vsmmu.io/set'];
    const gold = (await admin.get(`${BASELINES}/gold`)).status.vsmmu;

    await ctx.check(ADMISSION.decided, async () => {
      const made = await create('decided');
      assert.equal(made.status, 201, JSON.stringify(made.body));
      const values = { ats: gold.ats.value, ril: gold.ril.value, ssidsize: gold.ssidsize.value, oas: 44 };
      for (const [name, value] of Object.entries(values))
        assert.ok(setOf(made).split(',').includes(`${name}=${value}`), `${name}=${value}: ${setOf(made)}`);
      assert.match(
        made.body.metadata.annotations['hooks.kubevirt.io/hookSidecars'],
        /"args":\["hook","--topology=complete","--unknown-ats=no"\]/,
      );
      const { nodeAffinity } = made.body.spec.affinity;
      assert.deepEqual(nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms, [
        { matchExpressions: [{ key: 'baseline.vsmmu.io/gold', operator: 'In', values: ['member'] }] },
      ]);
    });

    await ctx.check(ADMISSION.own, async () => {
      const made = await create('own', { 'vsmmu.io/set': 'oas=48' });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      assert.ok(setOf(made).startsWith('oas=48,'), setOf(made));
      assert.ok(!setOf(made).includes('oas=44'), setOf(made));
      const missing = await create('missing', { 'vsmmu.io/baseline': 'no-such' });
      assert.equal(missing.status, 422);
      assert.match(missing.body.message, /Baseline no-such does not exist.*POLICY_UNRESOLVED/);
      const malformed = await create('malformed', { 'vsmmu.io/set': 'oas=many' });
      assert.equal(malformed.status, 422);
      assert.match(malformed.body.message, /metadata\.annotations\[vsmmu\.io\/set\].*WISH_MALFORMED/);
    });

    await ctx.check(ADMISSION.devices, async () => {
      const { devices } = (await admin.get(`${BASELINES}/gold`)).status;
      const said = devices.filter(({ ats }) => ats.value !== 'unknown');
      assert.ok(said.length > 0, JSON.stringify(devices));
      const made = await create('devices');
      assert.equal(
        made.body.metadata.annotations['vsmmu.io/baseline-devices'],
        said.map(({ model, ats }) => `${model}=${ats.value}`).join(','),
      );
      const [node] = (await admin.get(`${BASELINES}/gold`)).status.members;
      const status = { phase: 'Scheduled', nodeName: node };
      const handed = await admin.replace(`${VMIS}/devices`, { ...made.body, status });
      const { version, groups } = JSON.parse(handed.metadata.annotations['vsmmu.io/resolved']);
      assert.equal(version, 2);
      assert.deepEqual([...new Set(groups.map(({ model }) => model))], ['10de:2941']);
    });

    await ctx.check(ADMISSION.changed, async () => {
      const current = await admin.get(`${POLICIES}/admitted`);
      const spec = { ...current.spec, properties: { oas: 48 } };
      await admin.replace(`${POLICIES}/admitted`, { ...current, spec });
      let next = 0;
      await eventually('the new value is what VMIs get', async () =>
        setOf(await create(`changed-${next++}`)).includes('oas=48'),
      );
      assert.ok(setOf({ body: await admin.get(`${VMIS}/decided`) }).includes('oas=44'));
    });
  } finally {
    // Its registrations would refuse every later VMI.
    for (const path of [MUTATING, VALIDATING, `${POLICIES}/admitted`]) await admin.delete(path);
    await installation.close();
  }
}
