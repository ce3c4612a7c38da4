import { describe, expect, test } from '@jest/globals';
import jsonPatch, { type Operation } from 'fast-json-patch';

import type { ClaimRequest } from '../cluster/claim-requests.js';
import { HOOK_SIDECARS_ANNOTATION, REQUIRE_ANNOTATION } from '../kubevirt/annotations.js';
import { parseVmi } from '../kubevirt/vmi.js';
import { type ClaimCaches, claimLookup, whenClaimsAreKnown } from './device-claims.js';
import { mutateHandler } from './mutate.js';
import type { AdmissionRequest, Verdict } from './review.js';

type Claims = Record<string, readonly ClaimRequest[]>;

const request = (name: string, ...classes: string[]): ClaimRequest => ({ name, classes, ours: false });

/** Caches of one namespace. */
function caches(claims: Claims, templates: Claims = {}, classes: Record<string, boolean> = {}): ClaimCaches {
  const inNamespace = (objects: Claims) => ({
    get: (name: string, namespace: string) => (namespace === 'vms' ? objects[name] : undefined),
  });
  const allClasses: Record<string, boolean> = { 'vsmmu.io': true, nvidia: false, ...classes };
  return {
    claims: inNamespace(claims),
    templates: inNamespace(templates),
    classes: { get: (name) => allClasses[name] },
  };
}

interface Sketch {
  readonly gpus?: readonly object[];
  readonly resourceClaims?: readonly object[];
  readonly annotations?: Readonly<Record<string, string>>;
}

function vmi({ gpus = [{ name: 'g', claimName: 'c' }], resourceClaims = [], annotations }: Sketch) {
  return {
    metadata: { name: 'vm', namespace: 'vms', ...(annotations && { annotations }) },
    spec: { domain: { devices: { gpus } }, resourceClaims },
  };
}

const byClaim = [{ name: 'c', resourceClaimName: 'mine' }];
const byTemplate = [{ name: 'c', resourceClaimTemplateName: 'two-gpus' }];

describe('whose devices a VMI asks for', () => {
  const ours = [request('gpu', 'vsmmu.io')];
  const theirs = [request('gpu', 'nvidia')];
  test.each<[string, Sketch, ClaimCaches, { ours: boolean; unknown: string[] }]>([
    ['a claim of our class', { resourceClaims: byClaim }, caches({ mine: ours }), known(true)],
    ['a claim of another class', { resourceClaims: byClaim }, caches({ mine: theirs }), known(false)],
    [
      'a template of our class',
      { resourceClaims: byTemplate },
      caches({}, { 'two-gpus': ours }),
      known(true),
    ],
    [
      'a class of any name that selects our devices',
      { resourceClaims: byClaim },
      caches({ mine: [request('gpu', 'grace')] }, {}, { grace: true }),
      known(true),
    ],
    [
      'a selector of its own that names us',
      { resourceClaims: byClaim },
      caches({ mine: [{ name: 'gpu', classes: ['nvidia'], ours: true }] }),
      known(true),
    ],
    [
      'the request it names is another’s',
      {
        resourceClaims: byClaim,
        gpus: [{ name: 'g', claimName: 'c', requestName: 'nic' }],
      },
      caches({ mine: [...ours, request('nic', 'nvidia')] }),
      known(false),
    ],
    [
      'the choice it names is of our request',
      {
        resourceClaims: byClaim,
        gpus: [{ name: 'g', claimName: 'c', requestName: 'gpu/small' }],
      },
      caches({ mine: [...ours, request('nic', 'nvidia')] }),
      known(true),
    ],
    [
      'a claim that no device uses',
      { resourceClaims: byClaim, gpus: [{ name: 'g', deviceName: 'other.example/gpu' }] },
      caches({ mine: ours }),
      known(false),
    ],
    ['a device whose claim the VMI does not list', {}, caches({ mine: ours }), known(false)],
    [
      'a claim that is not there',
      { resourceClaims: byClaim },
      caches({}),
      known(false, 'ResourceClaim mine'),
    ],
    [
      'a template that is not there',
      { resourceClaims: byTemplate },
      caches({}),
      known(false, 'ResourceClaimTemplate two-gpus'),
    ],
    [
      'a class that is not there',
      { resourceClaims: byClaim },
      caches({ mine: [request('gpu', 'new')] }),
      known(false, 'DeviceClass new'),
    ],
  ])('%s', (_, sketch, memory, expected) => {
    expect(claimLookup(memory)(parseVmi(vmi(sketch)), 'vms')).toEqual(expected);
  });

  test('a claim of the same name in another namespace is another claim', () => {
    const lookup = claimLookup(caches({ mine: ours }));
    expect(lookup(parseVmi(vmi({ resourceClaims: byClaim })), 'elsewhere')).toEqual(
      known(false, 'ResourceClaim mine'),
    );
  });
});

function known(ours: boolean, ...unknown: string[]) {
  return { ours, unknown };
}

describe('what it gets when it is created', () => {
  const claims: Claims = {};
  const lookup = claimLookup(caches(claims));
  const hook = { image: 'vsmmu:1', imagePullPolicy: 'IfNotPresent' } as const;
  const mutate = mutateHandler({ resources: ['vsmmu.io/'], hook, claims: lookup });
  const patient = whenClaimsAreKnown(mutate, lookup);
  const created = (object: object) => ({
    ...({} as AdmissionRequest),
    operation: 'CREATE' as const,
    resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
    namespace: 'vms',
    object,
  });
  const applied = <T extends object>(object: T, verdict: Verdict): T => {
    const patch = verdict.allowed ? (verdict.patch ?? []) : [];
    return jsonPatch.applyPatch(structuredClone(object), [...patch] as Operation[]).newDocument;
  };

  test('the hook, and an empty vsmmu.io/require by which all that come later know it; nothing a second time', () => {
    claims['mine'] = [request('gpu', 'vsmmu.io')];
    const asked = vmi({ resourceClaims: byClaim });
    const once = applied(asked, mutate(created(asked)));
    expect(Object.keys(once.metadata.annotations ?? {}).sort()).toEqual(
      [HOOK_SIDECARS_ANNOTATION, REQUIRE_ANNOTATION].sort(),
    );
    expect(once.metadata.annotations?.[REQUIRE_ANNOTATION]).toBe('');
    expect(once.spec).toEqual(asked.spec);
    expect(applied(once, mutate(created(once)))).toEqual(once);
  });

  test('requirements of its own stay', () => {
    claims['mine'] = [request('gpu', 'vsmmu.io')];
    const asked = vmi({ resourceClaims: byClaim, annotations: { [REQUIRE_ANNOTATION]: 'ats' } });
    expect(applied(asked, mutate(created(asked))).metadata.annotations?.[REQUIRE_ANNOTATION]).toBe('ats');
  });

  test('nothing, if its claims are others’', async () => {
    claims['mine'] = [request('gpu', 'nvidia')];
    const asked = vmi({ resourceClaims: byClaim });
    expect(await patient(created(asked))).toEqual({ allowed: true, patch: [], warnings: [] });
  });

  test('a claim that comes in the same breath is waited for', async () => {
    delete claims['mine'];
    const asked = vmi({ resourceClaims: byClaim });
    const judging = patient(created(asked));
    claims['mine'] = [request('gpu', 'vsmmu.io')];
    expect(applied(asked, await judging).metadata.annotations?.[REQUIRE_ANNOTATION]).toBe('');
  });

  test('one that never comes gives a warning that names the claim and the remedy', async () => {
    delete claims['mine'];
    const verdict = await patient(created(vmi({ resourceClaims: byClaim })));
    expect(verdict).toMatchObject({ allowed: true, patch: [] });
    expect(verdict.warnings).toHaveLength(1);
    expect(verdict.warnings?.[0]).toMatch(
      /ResourceClaim mine is not there yet.*create it first.*vsmmu\.io\/require/,
    );
    expect(verdict.warnings?.[0]?.length).toBeLessThan(256);
  });

  test('a malformed VMI is refused, not waited for', async () => {
    expect(await patient(created({ metadata: 5 }))).toMatchObject({ allowed: false, code: 422 });
  });
});
