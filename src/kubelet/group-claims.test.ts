import { describe, expect, test } from '@jest/globals';
import type { Bdf } from '../bdf.js';
import { formatBdf } from '../bdf.js';
import { GroupClaims } from './group-claims.js';
import { HEALTHY, type PluginDevice } from './plugin-device.js';

const MINUTES = 60_000;

function device(bus: number, group: number): PluginDevice {
  return {
    bdf: formatBdf(0, bus, 0, 0)!,
    driver: 'vfio-pci',
    iommuGroup: group,
    groupMates: [],
    smmu: undefined,
    numaNode: undefined,
    pcieRoot: undefined,
    health: HEALTHY,
  };
}

const a = device(1, 7);
const b = device(2, 7);
const c = device(3, 8);
const all = [a, b, c];
const used = (...devices: PluginDevice[]): ReadonlySet<Bdf> => new Set(devices.map(({ bdf }) => bdf));

function claims() {
  let now = 0;
  return { claims: new GroupClaims(() => now), wait: (ms: number) => (now += ms) };
}

describe('a claimed group', () => {
  test('keeps mates back, not the device itself, not other groups', () => {
    const { claims: held } = claims();
    held.claim([a]);
    expect(all.map((each) => held.obstacle(each))).toEqual([
      undefined,
      'IOMMU group 7 is in use through 0000:01:00.0',
      undefined,
    ]);
  });

  test('is free for those asked for together', () => {
    const { claims: held } = claims();
    held.claim([a]);
    expect(held.rivals(b, used(a, b))).toEqual([]);
    expect(held.rivals(b, used(b))).toEqual([a.bdf]);
  });

  test('handed out again for one device is no longer held through the other', () => {
    const { claims: held } = claims();
    held.claim([a, b]);
    held.claim([b]);
    expect(held.obstacle(a)).toMatch(/0000:02:00.0/);
    expect(held.obstacle(b)).toBeUndefined();
  });
});

describe('the kubelet lists what pods have', () => {
  test('a claim it listed ends when it lists it no more', () => {
    const { claims: held } = claims();
    held.claim([a]);
    expect(held.reconcile(used(a), all)).toBe(false);
    expect(held.reconcile(used(), all)).toBe(true);
    expect(held.obstacle(b)).toBeUndefined();
    expect(held.size).toBe(0);
  });

  test('a claim it has not listed yet holds: the pod is still being admitted', () => {
    const { claims: held, wait } = claims();
    held.claim([a]);
    wait(5 * MINUTES);
    expect(held.reconcile(used(), all)).toBe(false);
    expect(held.obstacle(b)).toBeDefined();
    wait(1);
    expect(held.reconcile(used(), all)).toBe(true);
    expect(held.obstacle(b)).toBeUndefined();
  });

  test('devices in use that nobody claimed here are taken over', () => {
    const { claims: held } = claims();
    expect(held.reconcile(used(b), all)).toBe(true);
    expect(held.obstacle(a)).toMatch(/0000:02:00.0/);
    expect(held.reconcile(used(b), all)).toBe(false);
  });

  test('of a pod with both mates, both are known', () => {
    const { claims: held } = claims();
    held.reconcile(used(a, b), all);
    expect(all.map((each) => held.obstacle(each))).toEqual([undefined, undefined, undefined]);
  });
});
