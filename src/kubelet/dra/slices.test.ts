import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { cutIntoSlices, type SliceDevice, TAINT_KEY } from './slices.js';

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
