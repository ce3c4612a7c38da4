import { describe, expect, test } from '@jest/globals';

import { sidecarImages, withHookSidecar } from './hook-sidecars.js';

const OURS = { image: 'registry.example:5000/vsmmu:2', imagePullPolicy: 'IfNotPresent' } as const;
const ENTRY = '{"image":"registry.example:5000/vsmmu:2","imagePullPolicy":"IfNotPresent","args":["hook"]}';

describe('our container in the annotation', () => {
  test.each<[string, string | undefined, string]>([
    ['no annotation', undefined, `[${ENTRY}]`],
    ['an empty one', ' ', `[${ENTRY}]`],
    ['an empty array', '[ ]', `[ ${ENTRY}]`],
    [
      "a user's sidecar keeps its bytes",
      '[ {"image":"smbios:1", "args": ["--x"],  "unknown":1.0} ]\n',
      `[ {"image":"smbios:1", "args": ["--x"],  "unknown":1.0} ,${ENTRY}]\n`,
    ],
    ['already there', `[${ENTRY}]`, `[${ENTRY}]`],
    [
      'there with another tag',
      '[{"image":"registry.example:5000/vsmmu:1","args":["hook"]},{"image":"b"}]',
      '[{"image":"registry.example:5000/vsmmu:2","args":["hook"]},{"image":"b"}]',
    ],
    [
      'there by digest',
      '[{"image":"registry.example:5000/vsmmu@sha256:00"}]',
      '[{"image":"registry.example:5000/vsmmu:2"}]',
    ],
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

test('images of all sidecars', () => {
  expect(sidecarImages(undefined)).toEqual([]);
  expect(sidecarImages('[{"image":"a:1"},{"image":""},{"command":[]}]')).toEqual([
    'a:1',
    undefined,
    undefined,
  ]);
});
