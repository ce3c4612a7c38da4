import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { checkSidecars, withHookSidecar } from './hook-sidecars.js';

const OURS = { image: 'registry.example:5000/vsmmu:2', imagePullPolicy: 'IfNotPresent' } as const;
const ENTRY = '{"image":"registry.example:5000/vsmmu:2","imagePullPolicy":"IfNotPresent","args":["hook"]}';

describe('our container in the annotation', () => {
  test.each<[string, string | undefined, string]>([
    ['no annotation', undefined, `[${ENTRY}]`],
    ['an empty one', ' ', `[${ENTRY}]`],
    ['an empty array', '[ ]', `[${ENTRY}]`],
    [
      "a user's sidecar keeps its bytes",
      '[ {"image":"smbios:1", "args": ["--x"],  "unknown":1.0} ]\n',
      `[ {"image":"smbios:1", "args": ["--x"],  "unknown":1.0} ,${ENTRY}]\n`,
    ],
    ['already there', `[${ENTRY}]`, `[${ENTRY}]`],
    [
      'there with another tag',
      '[{"image":"registry.example:5000/vsmmu:1","args":["hook"]},{"image":"b"}]',
      `[{"image":"b"},${ENTRY}]`,
    ],
    ['there by digest', '[{"image":"registry.example:5000/vsmmu@sha256:00"}]', `[${ENTRY}]`],
    [
      'there with a command, arguments and volumes of another’s choice',
      `[{"image":"${OURS.image}","command":["sh"],"args":["-c","x"],"pvc":{"name":"p"}}]`,
      `[${ENTRY}]`,
    ],
    [
      'there with a key that Go would read as another image',
      `[{"image":"${OURS.image}","imagePullPolicy":"IfNotPresent","args":["hook"],"Image":"evil:1"}]`,
      `[${ENTRY}]`,
    ],
    ['there twice', `[${ENTRY},${ENTRY}]`, `[${ENTRY}]`],
    ['there, but not last', `[${ENTRY},{"image":"b"}]`, `[{"image":"b"},${ENTRY}]`],
    [
      'the same name in another repository is not ours',
      '[{"image":"registry.example/vsmmu:2"}]',
      `[{"image":"registry.example/vsmmu:2"},${ENTRY}]`,
    ],
    ['an image chosen by KubeVirt', '[{"image":null}]', `[{"image":null},${ENTRY}]`],
  ])('%s', (_, before, after) => {
    expect(withHookSidecar(before, OURS)).toBe(after);
    expect(withHookSidecar(after, OURS)).toBe(after);
  });

  test.each(['{', '{"image":"x"}', '[1]', '[{"image":3}]', '[]]'])('%s is refused', (text) => {
    expect(() => withHookSidecar(text, OURS)).toThrow(
      expect.objectContaining({ code: 'HOOK_SIDECARS_MALFORMED' }),
    );
  });
});

describe('what stands beside ours', () => {
  const entry = (extra: object) => JSON.stringify({ ...(JSON.parse(ENTRY) as object), ...extra });
  test.each<[string, string | undefined, boolean, (string | undefined)[]]>([
    ['no annotation', undefined, false, []],
    ['ours alone', `[${ENTRY}]`, true, []],
    [
      'ours with arguments that policies add',
      `[${entry({ args: ['hook', '--topology=complete', '--unknown-ats=no'] })}]`,
      true,
      [],
    ],
    [
      'ours with an argument that no policy adds',
      `[${entry({ args: ['hook', '--socket-dir=/'] })}]`,
      false,
      [OURS.image],
    ],
    ['others', '[{"image":"a:1"},{"image":""},{"command":[]}]', false, ['a:1', undefined, undefined]],
    ['ours with a command', `[${entry({ command: ['sh'] })}]`, false, [OURS.image]],
    [
      'ours with another image beside it, as Go reads it',
      `[${entry({ IMAGE: 'evil:1' })}]`,
      false,
      [OURS.image],
    ],
    ['ours with other arguments', `[${entry({ args: ['webhook'] })}]`, false, [OURS.image]],
    ['ours with arguments that are none', `[${entry({ args: ['hook', 1] })}]`, false, [OURS.image]],
    ['ours with a ConfigMap', `[${entry({ configMap: { name: 'c' } })}]`, false, [OURS.image]],
    [
      'ours by digest, where a tag is configured',
      `[${entry({ image: 'vsmmu@sha256:0' })}]`,
      false,
      ['vsmmu@sha256:0'],
    ],
  ])('%s', (_, text, ours, foreign) => {
    const check = checkSidecars(text, OURS);
    expect(check.ours !== undefined).toBe(ours);
    expect(check.foreign.map(({ image }) => image)).toEqual(foreign);
  });
});

test('arguments that policies gave ours stay what they were', () => {
  const entry = (...args: readonly string[]) => JSON.stringify([{ ...OURS, args: ['hook', ...args] }]);
  const before = checkSidecars(entry('--unknown-ats=no'), OURS).ours;
  expect(before).toEqual(['--unknown-ats=no']);
  expect(checkSidecars(entry('--unknown-ats=no'), OURS, before).foreign).toEqual([]);
  expect(checkSidecars(entry(), OURS, before).foreign).toEqual([{ index: 0, image: OURS.image }]);
  expect(checkSidecars(entry('--unknown-ats=yes'), OURS, before).ours).toBeUndefined();
});

test('whatever sidecars a user has, they stay in their order, and ours is there once', () => {
  const ours = { image: 'registry.example:5000/vsmmu:2', imagePullPolicy: 'Never' } as const;
  const image = fc.oneof(fc.string(), fc.constantFrom('a', 'registry.example:5000/vsmmu:1', ours.image));
  const sidecar = fc.record(
    { image: fc.option(image, { nil: undefined }), args: fc.array(fc.string()) },
    { requiredKeys: [] },
  );
  const spaced = fc.constantFrom(undefined, 1, '\t');
  fc.assert(
    fc.property(fc.array(sidecar, { maxLength: 4 }), spaced, (sidecars, space) => {
      const text = JSON.stringify(sidecars, undefined, space);
      const written = withHookSidecar(text, ours);
      expect(withHookSidecar(written, ours)).toBe(written);
      const read = (json: string) => JSON.parse(json) as { readonly image?: string }[];
      const foreign = (json: string) =>
        read(json).filter((one) => one.image?.startsWith('registry.example:5000/vsmmu') !== true);
      expect(foreign(written)).toEqual(foreign(text));
      expect(read(written).map((one) => one.image)).toContain(ours.image);
    }),
  );
});
