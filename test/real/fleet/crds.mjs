import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { eventually } from '../kubernetes/eventually.mjs';
import { BASELINES, baseline, POLICIES, policy } from './objects.mjs';

export const CRDS = {
  accepts: 'policies and baselines of every documented form are stored as they were written',
  refuses: 'the CEL rules and schemas refuse each wrong form, with the field in the message',
  life: 'a policy is created, changed, put in conflict and deleted; a baseline keeps its status from users',
};

const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** The definitions that the chart installs. */
export async function installCrds(ctx, cluster) {
  for (const name of ['nodeprofiles', 'policies', 'baselines']) {
    const file = join(ctx.root, 'charts/vsmmu/files/crds', `${name}.vsmmu.io.yaml`);
    // YAML 1.1, as Kubernetes reads it.
    await cluster.admin.create(DEFINITIONS, parse(await readFile(file, 'utf8'), { version: '1.1' }));
    await eventually(`${name} are served`, () => cluster.admin.get(`/apis/vsmmu.io/v1alpha1/${name}`));
  }
}

const selector = { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'In', values: ['d'] }] };

const GOOD = [
  policy('topology', { topology: 'off' }),
  policy('explicit', { properties: { ats: 'off', ril: 'on', ssidsize: 16, oas: 44, cmdqv: 'auto' } }),
  policy('words', { properties: { ats: 'baseline', ssidsize: 'baseline', oas: 'auto' }, baseline: 'gold' }),
  policy('selectors', { namespaceSelector: selector, vmiSelector: selector, unknownAts: 'no' }),
  policy('devices', { devices: { resources: ['vsmmu.io/', 'nvidia.com/GB200.x'] }, onUnresolved: 'leave' }),
  policy('exists', {
    vmiSelector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] },
    priority: 1000,
    topology: 'rewrite',
  }),
  policy(`n${'a'.repeat(62)}`, { topology: 'complete' }),
  baseline('everything', { nodeSelector: {}, holdBack: false }),
  baseline('selected', { nodeSelector: selector }),
];

const noValues = { matchExpressions: [{ key: 'a', operator: 'In' }] };
const BAD = [
  [policy('empty', {}), /must set something/],
  [policy('empty-properties', { properties: {} }), /spec\.properties/],
  [policy('ssidsize-21', { properties: { ssidsize: 21 } }), /must be 0 to 20/],
  [policy('ssidsize-negative', { properties: { ssidsize: -1 } }), /must be 0 to 20/],
  [policy('ssidsize-word', { properties: { ssidsize: 'most' } }), /must be 0 to 20/],
  [policy('oas-46', { properties: { oas: 46 } }), /must be 44, 48/],
  [policy('oas-word', { properties: { oas: '48' } }), /must be 44, 48/],
  [policy('ats-boolean', { properties: { ats: true } }), /spec\.properties\.ats/],
  [policy('ats-word', { properties: { ats: 'yes' } }), /spec\.properties\.ats/],
  [policy('topology', { topology: 'maybe' }), /spec\.topology/],
  [policy('priority', { priority: 1001, topology: 'off' }), /spec\.priority/],
  [policy('selector', { vmiSelector: noValues, topology: 'off' }), /In and NotIn need values/],
  [
    policy('exists-values', {
      vmiSelector: { matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] },
      topology: 'off',
    }),
    /Exists and DoesNotExist take none/,
  ],
  [policy('no-resources', { devices: { resources: [] }, topology: 'off' }), /spec\.devices\.resources/],
  [
    policy('resource', { devices: { resources: ['no-domain'] }, topology: 'off' }),
    /spec\.devices\.resources/,
  ],
  [policy(`n${'a'.repeat(63)}`, { topology: 'off' }), /at most 63 characters/],
  [{ ...policy('no-spec', {}), spec: undefined }, /spec/],
  [baseline('no-selector', { nodeSelector: undefined }), /nodeSelector/],
  [baseline('bad-selector', { nodeSelector: noValues }), /In and NotIn need values/],
  [
    baseline('itself', { nodeSelector: { matchLabels: { 'baseline.vsmmu.io/itself': 'member' } } }),
    /membership in a baseline/,
  ],
  [
    baseline('itself-again', {
      nodeSelector: { matchExpressions: [{ key: 'baseline.vsmmu.io/x', operator: 'DoesNotExist' }] },
    }),
    /membership in a baseline/,
  ],
  [baseline(`n${'a'.repeat(63)}`), /at most 63 characters/],
];

const collectionOf = ({ kind }) => (kind === 'Policy' ? POLICIES : BASELINES);

export async function crdChecks(ctx, cluster) {
  const { admin } = cluster;
  await ctx.check(CRDS.accepts, async () => {
    for (const object of GOOD) {
      const stored = await admin.create(collectionOf(object), object, { fieldValidation: 'Strict' });
      const { priority, holdBack, ...spec } = stored.spec;
      assert.deepEqual(
        {
          ...spec,
          ...('priority' in object.spec ? { priority } : {}),
          ...('holdBack' in object.spec ? { holdBack } : {}),
        },
        object.spec,
      );
      await admin.delete(`${collectionOf(object)}/${object.metadata.name}`);
    }
  });
  await ctx.check(CRDS.refuses, async () => {
    for (const [object, message] of BAD) {
      const { status, body } = await admin.exchange('POST', collectionOf(object), { body: object });
      assert.equal(status, 422, `${object.kind} ${object.metadata.name}: ${JSON.stringify(body)}`);
      assert.match(body.message, message, object.metadata.name);
    }
  });
  await ctx.check(CRDS.life, async () => {
    const created = await admin.create(POLICIES, policy('life', { topology: 'off' }));
    assert.equal(created.metadata.generation, 1);
    const path = `${POLICIES}/life`;
    const changed = await admin.replace(path, { ...created, spec: { topology: 'rewrite' } });
    assert.equal(changed.metadata.generation, 2);
    const late = await admin.exchange('PUT', path, { body: { ...created, spec: { topology: 'complete' } } });
    assert.equal(late.status, 409);
    await admin.delete(path);
    assert.equal((await admin.exchange('GET', path)).status, 404);

    const made = await admin.create(BASELINES, { ...baseline('life'), status: { members: ['forged'] } });
    assert.equal(made.status, undefined);
    assert.equal(made.spec.holdBack, true);
    await admin.delete(`${BASELINES}/life`);
  });
}
