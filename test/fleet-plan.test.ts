import { describe, expect, test } from '@jest/globals';

import type { BaselineObject } from '../src/fleet/baseline-object.js';
import { parseBaseline } from '../src/fleet/baseline-object.js';
import { type FleetVmi, parseFleetVmi } from '../src/fleet/bound-vmi.js';
import { labelPatch } from '../src/fleet/node-labels.js';
import { type Action, planFleet, type Snapshot } from '../src/fleet/plan.js';
import { parsePolicyObject, type PolicyObject } from '../src/fleet/policy-object.js';
import type { NodeProfile } from '../src/cluster/node-profile.js';
import { profile } from './fleet-profiles.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');

const baseline = (
  status: unknown = {},
  spec: Readonly<Record<string, unknown>> = { nodeSelector: {} },
): BaselineObject => parseBaseline({ metadata: { name: 'gold', uid: 'u', generation: 1 }, spec, status });
const policy = (spec: Readonly<Record<string, unknown>>): PolicyObject =>
  parsePolicyObject({ metadata: { name: 'p', generation: 3 }, spec });
const vmi = (name: string, node: string | undefined): FleetVmi => ({
  key: `shop/${name}`,
  namespace: 'shop',
  labels: {},
  resources: ['vsmmu.io/10de-2941-ats'],
  baseline: 'gold',
  node,
});

function snapshot(parts: Partial<Snapshot>): Snapshot {
  const profiles = parts.profiles ?? [];
  return {
    nodes: new Map(profiles.map(({ node }) => [node, {}])),
    profiles,
    baselines: [],
    policies: [],
    vmis: [],
    namespaces: new Map(),
    seen: new Map(),
    now: NOW,
    ...parts,
  };
}

/** What the cluster looks like once the actions are done. */
function after(before: Snapshot, actions: readonly Action[]): Snapshot {
  const nodes = new Map(before.nodes);
  let { baselines, policies, profiles } = before;
  for (const action of actions) {
    if (action.kind === 'label-node') {
      const labels = { ...nodes.get(action.node), ...action.patch };
      nodes.set(
        action.node,
        Object.fromEntries(
          Object.entries(labels).filter((entry): entry is [string, string] => entry[1] !== null),
        ),
      );
    } else if (action.kind === 'write-baseline')
      baselines = baselines.map((one) =>
        one.name === action.object.name ? { ...one, status: action.status } : one,
      );
    else if (action.kind === 'write-policy')
      policies = policies.map((one) =>
        one.name === action.object.name ? { ...one, status: action.status } : one,
      );
    else if (action.kind === 'delete-profile') profiles = profiles.filter(({ node }) => node !== action.node);
  }
  return {
    ...before,
    nodes,
    baselines,
    policies,
    profiles,
    seen: new Map(profiles.map((one) => [one.node, one])),
  };
}

const kinds = (actions: readonly Action[]) => actions.map(({ kind }) => kind).toSorted();

describe('the plan', () => {
  test('labels nodes with what they can do, and members with their baseline', () => {
    const actions = planFleet(
      snapshot({ profiles: [profile('a', { ssidsize: 16 })], baselines: [baseline()] }),
    );
    expect(actions.find(({ kind }) => kind === 'label-node')).toEqual({
      kind: 'label-node',
      node: 'a',
      patch: {
        'vsmmu.io/accel': 'on',
        'vsmmu.io/ats': 'on',
        'vsmmu.io/ril': 'on',
        'vsmmu.io/ssidsize': '16',
        'vsmmu.io/oas': '48',
        'vsmmu.io/cmdqv': 'on',
        'vsmmu.io/profile': 'current',
        'baseline.vsmmu.io/gold': 'member',
      },
    });
  });

  test('leaves nothing to do once it is done', () => {
    const first = snapshot({
      profiles: [profile('a'), profile('b', { ssidsize: 16 }), profile('c', { obstacle: 'no' })],
      baselines: [baseline()],
      vmis: [vmi('db-1', 'a')],
    });
    const second = after(first, planFleet(first));
    expect(planFleet(second)).toEqual([]);
  });

  test('under a running VM the baseline is held back, told once, and the node loses its membership', () => {
    const first = snapshot({
      profiles: [profile('a'), profile('b')],
      baselines: [baseline()],
      vmis: [vmi('db-1', 'a')],
    });
    const settled = after(first, planFleet(first));
    const changed = { ...settled, profiles: [profile('a'), profile('b', { ssidsize: 16 })] };
    const actions = planFleet(changed);
    expect(actions.find(({ kind }) => kind === 'event')).toMatchObject({
      regarding: { kind: 'Baseline', name: 'gold' },
      reason: 'HeldBack',
      note: 'ssidsize 20 -> 16 would change under shop/db-1',
    });
    expect(actions.find(({ kind }) => kind === 'label-node')).toMatchObject({
      node: 'b',
      patch: { 'baseline.vsmmu.io/gold': null, 'vsmmu.io/ssidsize': '16' },
    });
    expect(planFleet(after(changed, actions))).toEqual([]);
  });

  test('VMs that come and go while it is held back are named anew, and told of no second time', () => {
    const first = snapshot({
      profiles: [profile('a'), profile('b')],
      baselines: [baseline()],
      vmis: [vmi('db-1', 'a')],
    });
    const settled = after(first, planFleet(first));
    const held = { ...settled, profiles: [profile('a'), profile('b', { ssidsize: 16 })] };
    const more = { ...after(held, planFleet(held)), vmis: [vmi('db-1', 'a'), vmi('db-2', 'a')] };
    const actions = planFleet(more);
    expect(kinds(actions)).toEqual(['write-baseline']);
    const lower = { ...after(more, actions), profiles: [profile('a'), profile('b', { ssidsize: 8 })] };
    expect(planFleet(lower).find(({ kind }) => kind === 'event')).toMatchObject({
      note: 'ssidsize 20 -> 8 would change under shop/db-1, shop/db-2',
    });
  });

  test('a baseline tells its nodes and devices in figures', () => {
    const stale: NodeProfile = { ...profile('b'), renewedAt: NOW - 36 * 60_000 };
    const devices = [{}, { ats: 'unknown' as const }, { ats: 'no' as const, ready: false }];
    const actions = planFleet(
      snapshot({
        nodes: new Map(['a', 'b', 'c', 'silent'].map((name) => [name, {}])),
        profiles: [profile('a', { devices }), stale, profile('c', { obstacle: 'no' })],
        baselines: [baseline()],
      }),
    );
    expect(actions.find((action) => action.kind === 'write-baseline')?.status.summary).toEqual({
      nodes: 4,
      members: 2,
      stale: 1,
      devices: 5,
      ready: 4,
      ats: 3,
      atsUnknown: 1,
      pasid: 5,
    });
  });

  test.each<[string, Readonly<Record<string, unknown>>, readonly NodeProfile[], string, string, RegExp]>([
    ['is applied', { properties: { oas: 44 } }, [], 'True', 'Applied', /new VMIs get/],
    ['leaves VMIs alone', { topology: 'off', baseline: 'none' }, [], 'True', 'Applied', /left alone/],
    [
      'names a baseline that is missing',
      { baseline: 'none' },
      [],
      'False',
      'BaselineMissing',
      /none: .* refused/,
    ],
    [
      'names an empty baseline',
      { baseline: 'gold', onUnresolved: 'leave' },
      [],
      'False',
      'BaselineEmpty',
      /gold has no member: .* left alone/,
    ],
    ['names a baseline with members', { baseline: 'gold' }, [profile('a')], 'True', 'Applied', /./],
    [
      'leaves the baseline to others',
      { properties: { ats: 'baseline', ril: 'baseline' } },
      [],
      'True',
      'BaselineElsewhere',
      /^ats, ril come from/,
    ],
  ])('a policy that %s says so in its status, once', (_, spec, profiles, status, reason, message) => {
    const first = snapshot({ profiles, baselines: [baseline()], policies: [policy(spec)] });
    const actions = planFleet(first);
    const written = actions.find((action) => action.kind === 'write-policy');
    expect(written?.status).toMatchObject({
      observedGeneration: 3,
      conditions: [
        {
          type: 'Ready',
          status,
          reason,
          message: expect.stringMatching(message) as unknown,
          observedGeneration: 3,
        },
      ],
    });
    expect(planFleet(after(first, actions))).toEqual([]);
  });

  test('once the VM is gone the baseline shrinks', () => {
    const first = snapshot({
      profiles: [profile('a'), profile('b')],
      baselines: [baseline()],
      vmis: [vmi('db-1', 'a')],
    });
    const held = {
      ...after(first, planFleet(first)),
      profiles: [profile('a'), profile('b', { ssidsize: 16 })],
    };
    const free = { ...after(held, planFleet(held)), vmis: [] };
    const written = planFleet(free).find((action) => action.kind === 'write-baseline');
    expect(written?.status.vsmmu?.ssidsize).toEqual({ value: 16, limitedBy: ['b'] });
    expect(written?.status.conditions.find(({ type }) => type === 'HeldBack')?.status).toBe('False');
  });

  test('a VMI that is not scheduled yet holds nothing back', () => {
    const first = snapshot({
      profiles: [profile('a')],
      baselines: [baseline()],
      vmis: [vmi('db-1', undefined)],
    });
    const settled = after(first, planFleet(first));
    const actions = planFleet({ ...settled, profiles: [profile('a', { ssidsize: 16 })] });
    expect(kinds(actions)).toEqual(['label-node', 'write-baseline']);
  });

  test('a policy binds VMIs too', () => {
    const policies = [policy({ baseline: 'gold' })];
    const vmis = [{ ...vmi('db-1', 'a'), baseline: undefined }];
    const first = snapshot({ profiles: [profile('a')], baselines: [baseline()], policies, vmis });
    const settled = after(first, planFleet(first));
    const actions = planFleet({ ...settled, profiles: [profile('a', { ats: false })] });
    expect(
      actions.filter(({ kind }) => kind === 'event').map((action) => 'reason' in action && action.reason),
    ).toEqual(['HeldBack', 'FeaturesChanged']);
  });

  test('a selected node without a profile is left out by name', () => {
    const actions = planFleet(
      snapshot({
        nodes: new Map([
          ['a', {}],
          ['control', {}],
        ]),
        profiles: [profile('a')],
        baselines: [baseline()],
      }),
    );
    const written = actions.find((action) => action.kind === 'write-baseline');
    expect(written?.status.excluded).toEqual([
      { name: 'control', reason: 'it has no NodeProfile: no agent reports it' },
    ]);
  });

  test('a profile whose node is gone is deleted, by its uid', () => {
    const gone: NodeProfile = { ...profile('gone'), uid: 'uid-1' };
    const actions = planFleet(snapshot({ nodes: new Map(), profiles: [gone] }));
    expect(actions).toEqual([{ kind: 'delete-profile', node: 'gone', uid: 'uid-1' }]);
  });

  test('labels go with the profile, and labels of others stay', () => {
    const labels = {
      'vsmmu.io/ats': 'on',
      'baseline.vsmmu.io/gold': 'member',
      'vsmmu.io/mine': 'x',
      zone: 'a',
    };
    const actions = planFleet(snapshot({ nodes: new Map([['a', labels]]), profiles: [] }));
    expect(actions).toEqual([
      { kind: 'label-node', node: 'a', patch: { 'vsmmu.io/ats': null, 'baseline.vsmmu.io/gold': null } },
    ]);
  });

  test('a profile that is not renewed is labelled stale', () => {
    const old: NodeProfile = { ...profile('a'), renewedAt: NOW - 36 * 60_000 };
    expect(planFleet(snapshot({ profiles: [old] }))[0]).toMatchObject({
      patch: { 'vsmmu.io/profile': 'stale' },
    });
  });

  test("a change of a node's features under running VMs is told with what changed", () => {
    const before = profile('a', { devices: [{}, { model: '15b3:1023' }] });
    const now = profile('a', { ril: false, devices: [{ ats: 'no' }] });
    const actions = planFleet(
      snapshot({
        profiles: [now],
        seen: new Map([['a', before]]),
        vmis: [{ ...vmi('db-1', 'a'), baseline: undefined }],
      }),
    );
    expect(actions.find(({ kind }) => kind === 'event')).toMatchObject({
      reason: 'FeaturesChanged',
      note: 'ril on -> off, 0009:01:00.0: ATS yes -> no, 0009:02:00.0 is gone under running shop/db-1',
    });
  });

  test('without VMs on the node nobody is told', () => {
    const actions = planFleet(
      snapshot({ profiles: [profile('a', { ril: false })], seen: new Map([['a', profile('a')]]) }),
    );
    expect(kinds(actions)).toEqual(['label-node']);
  });
});

describe('VMIs as the controller keeps them', () => {
  const object = (status: unknown, devices: unknown) => ({
    metadata: { name: 'db-1', namespace: 'shop', annotations: { 'vsmmu.io/baseline': 'gold' } },
    spec: { domain: { devices } },
    status,
  });
  const gpus = { gpus: [{ name: 'g', deviceName: 'vsmmu.io/10de-2941' }] };

  test('with node, resources and baseline', () => {
    expect(parseFleetVmi(object({ phase: 'Running', nodeName: 'a' }, gpus))).toEqual({
      key: 'shop/db-1',
      namespace: 'shop',
      labels: {},
      resources: ['vsmmu.io/10de-2941'],
      baseline: 'gold',
      node: 'a',
    });
  });

  test('one that asks by claims, by the mark that the webhook gives it', () => {
    const claiming = object(
      { phase: 'Running', nodeName: 'a' },
      { gpus: [{ name: 'g', claimName: 'c', requestName: 'r' }] },
    );
    expect(parseFleetVmi(claiming)).toBeUndefined();
    const annotations = { ...claiming.metadata.annotations, 'vsmmu.io/require': '' };
    const marked = { ...claiming, metadata: { ...claiming.metadata, annotations } };
    expect(parseFleetVmi(marked)).toMatchObject({ node: 'a', baseline: 'gold', resources: [] });
  });

  test.each<[string, unknown, unknown]>([
    ['one that has ended', { phase: 'Succeeded', nodeName: 'a' }, gpus],
    ['one that has failed', { phase: 'Failed', nodeName: 'a' }, gpus],
    ['one without devices', { phase: 'Running', nodeName: 'a' }, {}],
  ])('not %s', (_, status, devices) => {
    expect(parseFleetVmi(object(status, devices))).toBeUndefined();
  });
});

test('labels that are as they should be need no patch', () => {
  expect(labelPatch({ 'vsmmu.io/ats': 'on', zone: 'a' }, { 'vsmmu.io/ats': 'on' })).toBeUndefined();
});
