import { describe, expect, test } from '@jest/globals';
import { applyPatch } from 'fast-json-patch';

import { nodeLookup } from '../src/admission/node-values.js';
import { mutateHandler } from '../src/admission/mutate.js';
import type { AdmissionRequest, Verdict } from '../src/admission/review.js';
import { vmiPolicy } from '../src/admission/vmi-policy.js';
import { type BaselineObject, parseBaseline } from '../src/fleet/baseline-object.js';
import { keepBaseline } from '../src/fleet/keep-baseline.js';
import { explainVmi } from '../src/fleet/explain-vmi.js';
import { parsePolicy, type Policy } from '../src/fleet/policy.js';
import { baselineHostOf } from '../src/fleet/profile-host.js';
import { publishedStatus } from '../src/fleet/published-status.js';
import { parseBdf } from '../src/bdf.js';
import { defineDomain } from '../src/kubevirt/hook/define-domain.js';
import { hookRewriter, type Warnings } from '../src/kubevirt/hook/rewrite.js';
import { parseVmi } from '../src/kubevirt/vmi.js';
import { kubevirtDomain } from '../src/page/vm-domain.js';
import { profile } from './fleet-profiles.js';

const HOOK = { image: 'registry.example/vsmmu:test', imagePullPolicy: 'IfNotPresent', args: [] } as const;

function baseline(name: string, status: unknown = {}): BaselineObject {
  return parseBaseline({ metadata: { name }, spec: { nodeSelector: {} }, status });
}
const gold = baseline(
  'gold',
  publishedStatus(
    keepBaseline([baselineHostOf(profile('a')), baselineHostOf(profile('b', { ssidsize: 16 }))], {
      published: undefined,
      bound: [],
      holdBack: true,
    }),
  ),
);

const policy = (name: string, spec: Readonly<Record<string, unknown>>): Policy =>
  parsePolicy({ metadata: { name }, spec });

function vmi(
  annotations: Readonly<Record<string, string>> = {},
  resource = 'vsmmu.io/10de-2941-ats',
): VmiObject {
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name: 'train', labels: { app: 'train' }, annotations: { ...annotations } },
    spec: { domain: { devices: { gpus: [{ name: 'g', deviceName: resource }] } } },
  };
}
interface VmiObject {
  readonly [field: string]: unknown;
  readonly metadata: {
    readonly annotations: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly spec: { readonly affinity?: unknown; readonly [field: string]: unknown };
}

const REQUEST: AdmissionRequest = {
  uid: 'u',
  operation: 'CREATE',
  resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
  subResource: undefined,
  name: 'train',
  namespace: 'ml',
  username: 'user',
  groups: [],
  dryRun: false,
  object: undefined,
  oldObject: undefined,
};

function create(object: unknown, policies: readonly Policy[]): Verdict {
  const handler = mutateHandler({
    resources: ['vsmmu.io/'],
    hook: HOOK,
    policy: vmiPolicy({
      policies: { values: () => policies },
      baselines: { get: (name) => (name === 'gold' ? gold : undefined) },
      namespaces: { get: (name) => (name === 'ml' ? { tier: 'gold' } : undefined) },
    }),
  });
  return handler({ ...REQUEST, object });
}

function patched(object: VmiObject, policies: readonly Policy[]): VmiObject {
  const verdict = create(object, policies);
  if (!verdict.allowed) throw new Error(verdict.message);
  const copy = structuredClone(object);
  return applyPatch(copy, [...(verdict.patch ?? [])]).newDocument;
}

const setOf = ({ metadata }: VmiObject) => metadata.annotations['vsmmu.io/set'];
const sidecarsOf = ({ metadata }: VmiObject) => metadata.annotations['hooks.kubevirt.io/hookSidecars'];

describe('policies at creation', () => {
  test('without one, nothing is set', () => {
    const made = patched(vmi(), []);
    expect(setOf(made)).toBeUndefined();
    expect(made.spec.affinity).toBeUndefined();
    expect(sidecarsOf(made)).toContain('"args":["hook"]');
  });

  test("explicit values become the VMI's own, behind what its user set", () => {
    const policies = [policy('p', { properties: { ssidsize: 8, ril: 'off', ats: 'auto' } })];
    expect(setOf(patched(vmi(), policies))).toBe('ril=off,ssidsize=8');
    expect(setOf(patched(vmi({ 'vsmmu.io/set': 'ssidsize=4' }), policies))).toBe('ssidsize=4,ril=off');
  });

  test('a baseline gives its values and keeps the VM to its members', () => {
    const made = patched(vmi(), [policy('p', { baseline: 'gold' })]);
    expect(setOf(made)).toBe('ats=on,ril=on,ssidsize=16,oas=48,cmdqv=on');
    expect(made.spec.affinity).toEqual({
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: 'baseline.vsmmu.io/gold', operator: 'In', values: ['member'] }] },
          ],
        },
      },
    });
  });

  test('the namespace decides by its labels, the VMI by its own', () => {
    const policies = [
      policy('namespace', { namespaceSelector: { matchLabels: { tier: 'gold' } }, properties: { oas: 44 } }),
      policy('other', { vmiSelector: { matchLabels: { app: 'web' } }, properties: { ril: 'off' } }),
    ];
    expect(setOf(patched(vmi(), policies))).toBe('oas=44');
  });

  test('topology, what happens to the unresolved and what unknown ATS counts as reach the hook', () => {
    const spec = { topology: 'complete', onUnresolved: 'leave', unknownAts: 'no' };
    const made = patched(vmi(), [policy('p', spec)]);
    expect(sidecarsOf(made)).toContain(
      '"args":["hook","--topology=complete","--unresolvable=omit","--unknown-ats=no"]',
    );
  });

  test('topology off: no hook, and nothing else', () => {
    expect(patched(vmi(), [policy('p', { topology: 'off', properties: { ats: 'off' } })])).toEqual(vmi());
  });

  test('a VMI without our devices is not looked at', () => {
    const other = vmi({}, 'example.com/gpu');
    expect(patched(other, [policy('p', { baseline: 'missing' })])).toEqual(other);
  });

  test('a baseline that has no values is refused, with its field', () => {
    expect(create(vmi({ 'vsmmu.io/baseline': 'missing' }), [])).toMatchObject({
      allowed: false,
      code: 422,
      causes: [{ field: 'metadata.annotations[vsmmu.io/baseline]' }],
      message: expect.stringContaining('Baseline missing does not exist') as unknown,
    });
  });

  test('or left alone, where a policy wants that', () => {
    const policies = [policy('p', { baseline: 'missing', onUnresolved: 'leave' })];
    expect(patched(vmi(), policies)).toEqual(vmi());
  });

  test.each<[string, readonly Policy[], Readonly<Record<string, string>>]>([
    ['values', [policy('p', { properties: { ssidsize: 8 } })], { 'vsmmu.io/set': 'ril=off' }],
    ['a baseline', [policy('p', { baseline: 'gold', topology: 'complete' })], { 'vsmmu.io/require': 'ats' }],
  ])('patching what was patched changes nothing: %s', (_, policies, annotations) => {
    const once = patched(vmi(annotations), policies);
    expect(patched(once, policies)).toEqual(once);
  });
});

describe('what a baseline says of devices', () => {
  const MODELS = 'vsmmu.io/baseline-devices';
  const RESOLVED = 'vsmmu.io/resolved';
  const NIC = '15b3:a2dc';
  const mixed = [
    profile('a', { devices: [{}, { model: NIC }] }),
    profile('b', { devices: [{}, { model: NIC, ats: 'no' }] }),
  ] as const;
  const silver = baseline(
    'silver',
    publishedStatus(
      keepBaseline(mixed.map(baselineHostOf), { published: undefined, bound: [], holdBack: true }),
    ),
  );
  const handler = mutateHandler({
    resources: ['vsmmu.io/'],
    hook: HOOK,
    lookup: nodeLookup(
      { get: (node) => mixed.find((one) => one.node === node), unusable: () => [] },
      { maxAgeMs: 0 },
    ),
    policy: vmiPolicy({
      policies: { values: () => [] },
      baselines: { get: (name) => (name === 'silver' ? silver : undefined) },
      namespaces: { get: () => undefined },
    }),
  });
  const apply = <T>(object: T, verdict: Verdict): T => {
    if (!verdict.allowed) throw new Error(verdict.message);
    return applyPatch(structuredClone(object), [...(verdict.patch ?? [])]).newDocument;
  };
  const made = (annotations: Readonly<Record<string, string>>) => {
    const object = vmi(annotations);
    return apply(object, handler({ ...REQUEST, object }));
  };
  const handedTo = (node: string, old: VmiObject) => {
    const object = { ...old, status: { nodeName: node, phase: 'Scheduled' } };
    return apply(object, handler({ ...REQUEST, operation: 'UPDATE', object, oldObject: old }));
  };
  /** `ats` of GPU and NIC in the domain that the hook makes, and what it warns of. */
  const domainOf = (object: VmiObject) => {
    const warned: Warnings[number][] = [];
    const devices = ['0009:01:00.0', '0009:02:00.0'].map((address, index) => {
      const bdf = parseBdf(address);
      if (bdf === undefined) throw new Error(address);
      return { name: `d${index}`, list: 'gpus' as const, bdf };
    });
    const bytes = (text: string) => new TextEncoder().encode(text);
    const xml = new TextDecoder().decode(
      defineDomain(
        bytes(kubevirtDomain(devices, true)),
        bytes(JSON.stringify(object)),
        hookRewriter({}, (warnings) => warned.push(...warnings)),
      ),
    );
    return {
      ats: [...xml.matchAll(/name='ats' type='string' value='(\w+)'/g)].map(([, ats]) => ats),
      warned: warned.map(({ code }) => code),
    };
  };
  const bound = { 'vsmmu.io/baseline': 'silver' };

  test('reaches the hook: a device is as every member can have it, not as its own node has it', () => {
    const created = made(bound);
    expect(created.metadata.annotations[MODELS]).toBe(`10de:2941=yes,${NIC}=no`);
    expect(made({}).metadata.annotations).not.toHaveProperty([MODELS]);
    const onA = handedTo('a', created);
    expect(domainOf(onA)).toEqual({ ats: ['on', 'off'], warned: [] });
    expect(domainOf(handedTo('b', created))).toEqual(domainOf(onA));
    // Not bound, the NIC has on node a what it can.
    expect(domainOf(handedTo('a', made({})))).toEqual({ ats: ['on', 'on'], warned: [] });
  });

  test('is not for a VMI whose ATS is to be the node’s own, nor a user’s to say', () => {
    const own = made({ ...bound, 'vsmmu.io/set': 'ats=auto' });
    expect(own.metadata.annotations).not.toHaveProperty([MODELS]);
    expect(made({ [MODELS]: '10de:2941=no' }).metadata.annotations).not.toHaveProperty([MODELS]);
    expect(made({ ...bound, [MODELS]: '10de:2941=no' }).metadata.annotations[MODELS]).toContain('=yes');
  });

  test('what its user set of a device counts before it', () => {
    const created = made({ ...bound, 'vsmmu.io/set': '0009:02:00.0.ats=on' });
    expect(domainOf(handedTo('a', created)).ats).toEqual(['on', 'on']);
  });

  test('is what explain vmi tells', () => {
    const asked = parseVmi(vmi(bound, 'vsmmu.io/15b3-a2dc-ats'));
    const explained = explainVmi(
      asked,
      { vmi: {}, namespace: {} },
      {
        nodes: mixed.map((one) => ({ profile: one, labels: { 'baseline.vsmmu.io/silver': 'member' } })),
        policies: [],
        baselines: new Map([['silver', silver.status]]),
        resources: ['vsmmu.io/'],
      },
    );
    const onA = explained.nodes.find(({ node }) => node === 'a');
    expect(onA?.smmus.flatMap(({ devices }) => devices)).toEqual([{ bdf: '0009:02:00.0', ats: 'off' }]);
  });

  describe('beside the release before, which knew version 1 only', () => {
    const version = (object: VmiObject) =>
      (JSON.parse(object.metadata.annotations[RESOLVED] ?? '') as { version: number }).version;
    const without = (object: VmiObject, key: string): VmiObject => {
      const kept = Object.entries(object.metadata.annotations).filter(([name]) => name !== key);
      const annotations = Object.fromEntries(kept);
      return { ...object, metadata: { ...object.metadata, annotations } };
    };

    test('its hook, in a VMI that its webhook created, gets version 1', () => {
      expect(version(handedTo('a', without(made(bound), MODELS)))).toBe(1);
      expect(version(handedTo('a', made({})))).toBe(1);
      expect(version(handedTo('a', made(bound)))).toBe(2);
    });

    test('its webhook hands version 1 to a hook of today: it starts as it would have, and warns', () => {
      const created = made(bound);
      const byOld = handedTo('a', without(created, MODELS)).metadata.annotations[RESOLVED] ?? '';
      const annotations = { ...created.metadata.annotations, [RESOLVED]: byOld };
      const handed = { ...created, metadata: { ...created.metadata, annotations } };
      expect(domainOf(handed)).toEqual({ ats: ['on', 'on'], warned: ['MODEL_UNKNOWN', 'MODEL_UNKNOWN'] });
    });
  });
});
