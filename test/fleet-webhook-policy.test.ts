import { describe, expect, test } from '@jest/globals';
import { applyPatch } from 'fast-json-patch';

import { mutateHandler } from '../src/admission/mutate.js';
import type { AdmissionRequest, Verdict } from '../src/admission/review.js';
import { vmiPolicy } from '../src/admission/vmi-policy.js';
import { type BaselineObject, parseBaseline } from '../src/fleet/baseline-object.js';
import { keepBaseline } from '../src/fleet/keep-baseline.js';
import { parsePolicy, type Policy } from '../src/fleet/policy.js';
import { baselineHostOf } from '../src/fleet/profile-host.js';
import { publishedStatus } from '../src/fleet/published-status.js';
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
  const request: AdmissionRequest = {
    uid: 'u',
    operation: 'CREATE',
    resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
    subResource: undefined,
    name: 'train',
    namespace: 'ml',
    username: 'user',
    groups: [],
    dryRun: false,
    object,
    oldObject: undefined,
  };
  return handler(request);
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
