import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatBdf } from '../bdf.js';
import { HEALTHY, type PluginDevice } from './plugin-device.js';
import { preferDevices } from './preference.js';

interface Place {
  numa?: number;
  smmu?: string;
  root?: string;
  group?: number;
}

/** A device named by its slot: 3 is 0000:03:00.0. */
function device(bus: number, { numa, smmu, root, group = bus }: Place = {}): PluginDevice {
  return {
    bdf: formatBdf(0, bus, 0, 0)!,
    driver: 'vfio-pci',
    iommuGroup: group,
    groupMates: [],
    smmu,
    numaNode: numa,
    pcieRoot: root,
    health: HEALTHY,
  };
}

const buses = (devices: readonly PluginDevice[]) =>
  devices.map(({ bdf }) => parseInt(bdf.slice(5, 7), 16)).sort();

describe('devices of one container are chosen', () => {
  test.each<[string, PluginDevice[], number[], number, number[]]>([
    [
      'on one NUMA node',
      [device(1, { numa: 0 }), device(2, { numa: 1 }), device(3, { numa: 1 })],
      [],
      2,
      [2, 3],
    ],
    [
      'behind one SMMU of the node',
      [1, 2, 3].map((n) => device(n, { numa: 0, smmu: n === 1 ? 'a' : 'b' })),
      [],
      2,
      [2, 3],
    ],
    [
      'under one PCIe root',
      [1, 2, 3].map((n) => device(n, { smmu: 'a', root: n === 2 ? 'x' : 'y' })),
      [],
      2,
      [1, 3],
    ],
    ['of one IOMMU group', [1, 2, 3].map((n) => device(n, { group: n === 1 ? 1 : 9 })), [], 2, [2, 3]],
    [
      'from the smallest neighbourhood that suffices',
      [1, 2, 3, 4].map((n) => device(n, { numa: n === 4 ? 1 : 0 })),
      [],
      1,
      [4],
    ],
    [
      'leaving a group of two whole for one device',
      [1, 2, 3].map((n) => device(n, { group: n === 3 ? 3 : 9 })),
      [],
      1,
      [3],
    ],
    [
      'beside what must be included',
      [1, 2, 3, 4].map((n) => device(n, { numa: n < 3 ? 0 : 1 })),
      [4],
      2,
      [3, 4],
    ],
    [
      'with all that must be included, wherever it is',
      [1, 2, 3, 4].map((n) => device(n, { numa: n })),
      [2, 4],
      2,
      [2, 4],
    ],
    [
      'over nodes when one is too small, the largest first',
      [1, 2, 3, 4, 5].map((n) => device(n, { numa: n < 3 ? 0 : 1 })),
      [],
      4,
      [1, 3, 4, 5],
    ],
    ['as many as there are', [device(1)], [], 3, [1]],
    ['none for zero', [device(1)], [], 0, []],
  ])('%s', (_, available, must, size, expected) => {
    const required = available.filter(({ bdf }) => must.some((bus) => bdf === formatBdf(0, bus, 0, 0)));
    expect(buses(preferDevices(available, required, size))).toEqual(expected);
  });
});

describe('for any devices', () => {
  const place = fc.record(
    { numa: fc.nat(2), smmu: fc.constantFrom('a', 'b'), root: fc.constantFrom('x', 'y'), group: fc.nat(3) },
    { requiredKeys: ['group'] },
  );
  const host = fc.array(place, { maxLength: 12 }).map((places) => places.map((at, n) => device(n, at)));

  test('the answer has the size, no doubles, only available ones, and all that must be in', () => {
    fc.assert(
      fc.property(host, fc.nat(14), fc.nat(5), (devices, size, mustCount) => {
        const must = devices.slice(0, Math.min(mustCount, size));
        const preferred = preferDevices(devices, must, size);
        expect(preferred).toHaveLength(Math.min(size, devices.length));
        expect(new Set(preferred).size).toBe(preferred.length);
        expect(preferred.every((chosen) => devices.includes(chosen))).toBe(true);
        expect(must.every((required) => preferred.includes(required))).toBe(true);
      }),
    );
  });

  test('the order in which the kubelet names them does not matter', () => {
    fc.assert(
      fc.property(host, fc.nat(6), (devices, size) => {
        expect(buses(preferDevices([...devices].reverse(), [], size))).toEqual(
          buses(preferDevices(devices, [], size)),
        );
      }),
    );
  });

  test('one NUMA node is used whenever one has enough', () => {
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 5 }), (devices, size) => {
        const nodes = [0, 1, 2, undefined].map((node) => devices.filter(({ numaNode }) => numaNode === node));
        fc.pre(nodes.some((members) => members.length >= size));
        expect(new Set(preferDevices(devices, [], size).map(({ numaNode }) => numaNode)).size).toBe(1);
      }),
    );
  });
});
