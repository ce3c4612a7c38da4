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
  spec: unknown;
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
    expect(patchOf(vmi).length).toBe(served ? 1 : 0);
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
          [REQUIRE_ANNOTATION]: fc.string(),
        },
        { requiredKeys: [] },
      ),
    )
    .map(([foreign, known]): Record<string, string> => ({ ...foreign, ...known })),
  { nil: undefined },
);
const anyVmi = fc
  .record({ deviceName: fc.constantFrom('vsmmu.io/gb200', 'x/y'), annotations: anyAnnotations })
  .map(({ deviceName, annotations }) => vmiWith(deviceName, annotations));

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
          return { ...others, metadata, foreign };
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
