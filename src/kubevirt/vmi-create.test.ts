import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import jsonPatch, { type Operation } from 'fast-json-patch';

import { HOOK_SIDECARS_ANNOTATION, REQUIRE_ANNOTATION, RESOLVED_ANNOTATION } from './annotations.js';
import type { JsonPatchOperation } from './json-patch.js';
import { DEFAULT_RESOURCES, asksForVsmmu, patchCreatedVmi, selectsResource } from './vmi-create.js';
import { parseVmi } from './vmi.js';

const HOOK = { image: 'vsmmu:1', imagePullPolicy: 'IfNotPresent' } as const;

interface VmiJson {
  metadata: { name: string; annotations?: Record<string, string> };
  spec: { domain: unknown; affinity?: unknown };
}

function vmiWith(deviceName: string, annotations?: Record<string, string>): VmiJson {
  return {
    metadata: { name: 'vm', ...(annotations === undefined ? {} : { annotations }) },
    spec: { domain: { devices: { gpus: [{ name: 'gpu0', deviceName }] } } },
  };
}

function patchOf(vmi: VmiJson): JsonPatchOperation[] {
  return patchCreatedVmi(parseVmi(vmi), DEFAULT_RESOURCES, HOOK);
}

function apply<T>(document: T, operations: readonly JsonPatchOperation[]): T {
  const copy = structuredClone(document);
  return jsonPatch.applyPatch(copy, operations as Operation[], true).newDocument;
}

test.each([
  [['vsmmu.io/'], 'vsmmu.io/gb200', true],
  [['vsmmu.io/'], 'vsmmu.io.example/gb200', false],
  [['nvidia.com/GB200_NVL'], 'nvidia.com/GB200_NVL', true],
  [['nvidia.com/GB200_NVL'], 'nvidia.com/GB200_NVL2', false],
  [[], 'vsmmu.io/gb200', false],
])('resources %p select %s: %p', (selection, deviceName, expected) => {
  expect(selectsResource(selection, deviceName)).toBe(expected);
});

describe('which VMIs are served', () => {
  test.each<[string, VmiJson, boolean]>([
    ['a gpu of ours', vmiWith('vsmmu.io/gb200'), true],
    ['a gpu of others', vmiWith('nvidia.com/GB200_NVL'), false],
    ['requirements stated', vmiWith('nvidia.com/GB200_NVL', { [REQUIRE_ANNOTATION]: 'ats' }), true],
  ])('%s', (_, vmi, served) => {
    expect(asksForVsmmu(parseVmi(vmi), DEFAULT_RESOURCES)).toBe(served);
    expect(patchOf(vmi).length > 0).toBe(served);
  });
});

test('a VMI without annotations gets the map together with the sidecar', () => {
  expect(patchOf(vmiWith('vsmmu.io/gb200'))).toEqual([
    {
      op: 'add',
      path: '/metadata/annotations',
      value: {
        [HOOK_SIDECARS_ANNOTATION]: '[{"image":"vsmmu:1","imagePullPolicy":"IfNotPresent","args":["hook"]}]',
      },
    },
  ]);
});

test("a user's own vsmmu.io/resolved goes, from whatever VMI carries it", () => {
  for (const deviceName of ['vsmmu.io/gb200', 'other.example/gpu'])
    expect(patchOf(vmiWith(deviceName, { [RESOLVED_ANNOTATION]: '{}' }))).toContainEqual({
      op: 'remove',
      path: '/metadata/annotations/vsmmu.io~1resolved',
    });
});

const anySidecars = fc
  .array(
    fc.record(
      {
        image: fc.constantFrom('a:1', 'vsmmu:1', 'vsmmu:0', 'vsmmu@sha256:1', ''),
        args: fc.array(fc.string(), { maxLength: 2 }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 3 },
  )
  .chain((sidecars) => fc.constantFrom(JSON.stringify(sidecars), JSON.stringify(sidecars, null, 2)));
const anyAnnotations = fc.option(
  fc
    .tuple(
      fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('a/b', 'a~b', '~1')), fc.string(), { maxKeys: 4 }),
      fc.record(
        {
          [HOOK_SIDECARS_ANNOTATION]: anySidecars,
          [RESOLVED_ANNOTATION]: fc.string(),
          [REQUIRE_ANNOTATION]: fc.constantFrom('', 'ats', 'pasid, oas>=48', 'ssidsize>=16,ril'),
        },
        { requiredKeys: [] },
      ),
    )
    .map(([foreign, known]): Record<string, string> => ({ ...foreign, ...known })),
  { nil: undefined },
);
const anyExpressions = fc.array(
  fc.constantFrom(
    { key: 'zone', operator: 'In', values: ['a'] },
    { key: 'vsmmu.io/ats', operator: 'In', values: ['on'] },
    { key: 'x', operator: 'Exists' },
  ),
  { maxLength: 2 },
);
const anyTerm = fc.record(
  {
    matchExpressions: anyExpressions,
    matchFields: fc.constant([{ key: 'metadata.name', operator: 'In', values: ['n'] }]),
  },
  { requiredKeys: [] },
);
const anyAffinity = fc
  .constantFrom<unknown>(undefined, null, {}, { podAffinity: {} }, { nodeAffinity: {} })
  .chain((frame) =>
    fc.oneof(
      fc.constant(frame),
      fc.array(anyTerm, { maxLength: 3 }).map((nodeSelectorTerms) => ({
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
      })),
    ),
  );
const anyVmi = fc
  .record({
    deviceName: fc.constantFrom('vsmmu.io/gb200', 'x/y'),
    annotations: anyAnnotations,
    affinity: anyAffinity,
  })
  .map(({ deviceName, annotations, affinity }) => {
    const vmi = vmiWith(deviceName, annotations);
    return { ...vmi, spec: { ...vmi.spec, ...(affinity === undefined ? {} : { affinity }) } };
  });

test('a VMI without a spec is left to its schema: no patch that cannot be applied', () => {
  const vmi = { metadata: { name: 'vm', annotations: { [REQUIRE_ANNOTATION]: 'ats' } } };
  const patched = apply(vmi, patchCreatedVmi(parseVmi(vmi), DEFAULT_RESOURCES, HOOK));
  expect(patched).not.toHaveProperty('spec');
});

describe('what a VMI requires becomes an affinity to nodes', () => {
  const ATS = { key: 'vsmmu.io/ats', operator: 'In', values: ['on'] };
  const SSID = { key: 'vsmmu.io/ssidsize', operator: 'Gt', values: ['15'] };
  const zone = { key: 'zone', operator: 'In', values: ['a'] };
  const terms = (...nodeSelectorTerms: unknown[]) => ({
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  });
  const after = (require: string, affinity?: unknown): unknown => {
    const vmi = vmiWith('vsmmu.io/gb200', { [REQUIRE_ANNOTATION]: require });
    const whole = { ...vmi, spec: { ...vmi.spec, ...(affinity === undefined ? {} : { affinity }) } };
    return apply(whole, patchOf(whole)).spec.affinity;
  };

  test.each<[string, unknown, unknown]>([
    ['none yet', undefined, terms({ matchExpressions: [ATS, SSID] })],
    [
      'one for pods only',
      { podAffinity: { a: 1 } },
      { podAffinity: { a: 1 }, ...terms({ matchExpressions: [ATS, SSID] }) },
    ],
    [
      'alternatives: each of them',
      terms({ matchExpressions: [zone] }, { matchFields: [1] }),
      terms({ matchExpressions: [zone, ATS, SSID] }, { matchFields: [1], matchExpressions: [ATS, SSID] }),
    ],
    ['part of it there', terms({ matchExpressions: [SSID] }), terms({ matchExpressions: [SSID, ATS] })],
    [
      'a term that matches nothing stays so',
      terms({}, { matchExpressions: [] }),
      terms({}, { matchExpressions: [] }),
    ],
  ])('%s', (_, before, expected) => {
    expect(after('ats, ssidsize>=16', before)).toEqual(expected);
  });

  test('nothing required, nothing added', () => {
    expect(after(' , ')).toBeUndefined();
  });

  test.each(['speed', 'ats>=1', 'ssidsize>=0', 'ssidsize>=100', 'oas=48', 'ats;ril', '"><x'])(
    '%s is refused',
    (text) => {
      expect(() => after(text)).toThrow(
        expect.objectContaining({
          code: 'REQUIRE_MALFORMED',
          place: `metadata.annotations[${REQUIRE_ANNOTATION}]`,
        }),
      );
    },
  );
});

describe('laws of the patch', () => {
  test('patching a patched VMI patches nothing', () => {
    fc.assert(
      fc.property(anyVmi, (vmi) => {
        expect(patchOf(apply(vmi, patchOf(vmi)))).toEqual([]);
      }),
    );
  });

  test('everything but the two annotations stays as it was', () => {
    fc.assert(
      fc.property(anyVmi, (vmi) => {
        const patched = apply(vmi, patchOf(vmi));
        const ours = [HOOK_SIDECARS_ANNOTATION, RESOLVED_ANNOTATION];
        const rest = ({ metadata: { annotations, ...metadata }, ...others }: VmiJson) => {
          const foreign = Object.entries(annotations ?? {}).filter(([key]) => !ours.includes(key));
          return { ...others, spec: { ...others.spec, affinity: undefined }, metadata, foreign };
        };
        expect(rest(patched)).toEqual(rest(vmi));
      }),
    );
  });

  test("a user's sidecars stay, in their order, and ours is there once", () => {
    fc.assert(
      fc.property(anySidecars, (sidecars) => {
        const images = (text: string) =>
          (JSON.parse(text) as { image?: string }[])
            .map(({ image }) => image)
            .filter((image) => !/^vsmmu/.test(image ?? ''));
        const vmi = vmiWith('vsmmu.io/gb200', { [HOOK_SIDECARS_ANNOTATION]: sidecars });
        const after = apply(vmi, patchOf(vmi)).metadata.annotations![HOOK_SIDECARS_ANNOTATION]!;
        expect(images(after)).toEqual(images(sidecars));
        expect(after).toContain('"vsmmu:1"');
      }),
    );
  });
});
