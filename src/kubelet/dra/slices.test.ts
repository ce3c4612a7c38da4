import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { cutIntoSlices, type SliceDevice, sliceName, TAINT_KEY } from './slices.js';

test('slices together are the devices in their order, none is beyond the API server’s limit, and all but the last are full', () => {
  const taints = [{ key: TAINT_KEY, value: 'in-use', effect: 'NoSchedule' }] as const;
  fc.assert(
    fc.property(fc.nat({ max: 600 }), fc.boolean(), (count, isTainted) => {
      const devices = Array.from({ length: count }, (_, n): SliceDevice => ({
        name: `d${n}`,
        attributes: {},
        ...(isTainted && n === count - 1 && { taints }),
      }));
      const slices = cutIntoSlices(devices);
      const most = isTainted && count > 0 ? 64 : 128;
      expect(slices.flat()).toEqual(devices);
      expect(slices.length).toBe(Math.max(1, Math.ceil(count / most)));
      for (const slice of slices.slice(0, -1)) expect(slice.length).toBe(most);
    }),
  );
});

test.each([
  ['a short name, which can be read', 'node-1', '00011-vsmmu.io-node-1'],
  ['the longest that fits', 'n'.repeat(238), `00011-vsmmu.io-${'n'.repeat(238)}`],
  ['a longer one', 'n'.repeat(239), expect.stringMatching(/^00011-vsmmu\.io-[0-9a-f]{32}$/)],
])('the name of a slice of %s', (_, nodeName, name) => {
  expect(sliceName(nodeName, 17)).toEqual(name);
});
