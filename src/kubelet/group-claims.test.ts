import { describe, expect, test } from '@jest/globals';
import type { Bdf } from '../bdf.js';
import { formatBdf } from '../bdf.js';
import { claimsFromJson, claimsToJson, GroupClaims } from './group-claims.js';
import { HEALTHY, type PluginDevice } from './plugin-device.js';

const SECONDS = 1000;

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
const MINE = 'resource a.io/x';
const used = (...devices: PluginDevice[]): ReadonlyMap<Bdf, string> =>
  new Map(devices.map(({ bdf }) => [bdf, 'a.io/x']));
const together = (...devices: PluginDevice[]): ReadonlySet<Bdf> => new Set(devices.map(({ bdf }) => bdf));

function claims() {
  let now = 0;
  return { claims: new GroupClaims(() => now), wait: (ms: number) => (now += ms) };
}

describe('a claimed group', () => {
  test('keeps mates back, not the device itself, not other groups', () => {
    const { claims: held } = claims();
    held.claim([a], MINE);
    expect(all.map((each) => held.obstacle(each, MINE))).toEqual([
      undefined,
      'IOMMU group 7 is in use through 0000:01:00.0 (resource a.io/x)',
      undefined,
    ]);
  });

  test('is free for those asked for together', () => {
    const { claims: held } = claims();
    held.claim([a], MINE);
    expect(held.rivals(b, together(a, b), MINE)).toEqual([]);
    expect(held.rivals(b, together(b), MINE)).toEqual([a.bdf]);
  });

  test('handed out again for one device is no longer held through the other', () => {
    const { claims: held } = claims();
    held.claim([a, b], MINE);
    held.claim([b], MINE);
    expect(held.obstacle(a, MINE)).toMatch(/0000:02:00.0/);
    expect(held.obstacle(b, MINE)).toBeUndefined();
  });
});

describe('the kubelet lists what pods have', () => {
  test('a claim it listed ends when it lists it no more for a while', () => {
    const { claims: held, wait } = claims();
    held.claim([a], MINE);
    held.reconcile(used(a), all);
    expect(held.unsettled).toBe(false);
    wait(60 * SECONDS);
    held.reconcile(used(), all);
    expect(held.unsettled).toBe(true);
    wait(5 * SECONDS - 1);
    held.reconcile(used(), all);
    expect(held.obstacle(b, MINE)).toBeDefined();
    wait(1);
    held.reconcile(used(), all);
    expect(held.obstacle(b, MINE)).toBeUndefined();
    expect(held.all).toEqual([]);
  });

  test('a kubelet that was just started and lists nothing yet ends no claim, however often', () => {
    const { claims: held, wait } = claims();
    held.claim([a], MINE);
    for (let restart = 0; restart < 3; restart++) {
      held.reconcile(used(a), all);
      expect(held.unsettled).toBe(false);
      wait(4 * SECONDS);
      held.reconcile(used(), all);
      wait(4 * SECONDS);
      expect(held.obstacle(b, MINE)).toBeDefined();
    }
  });

  test('a claim it has not listed yet holds: the pod is still being admitted', () => {
    const { claims: held, wait } = claims();
    held.claim([a], MINE);
    wait(20 * SECONDS);
    held.reconcile(used(), all);
    expect(held.obstacle(b, MINE)).toBeDefined();
    wait(1);
    held.reconcile(used(), all);
    expect(held.obstacle(b, MINE)).toBeUndefined();
  });

  test('devices in use that nobody claimed here are taken over', () => {
    const { claims: held } = claims();
    let changes = 0;
    held.onChange(() => changes++);
    held.reconcile(used(b), all);
    expect(held.obstacle(a, MINE)).toMatch(/0000:02:00.0/);
    held.reconcile(used(b), all);
    expect(changes).toBe(1);
  });

  test('of a pod with both mates, both are known', () => {
    const { claims: held } = claims();
    held.reconcile(used(a, b), all);
    expect(all.map((each) => held.obstacle(each, MINE))).toEqual([undefined, undefined, undefined]);
  });
});

test('a device in use under another name is not free under this one', () => {
  const { claims: held } = claims();
  held.reconcile(new Map([[a.bdf, 'a.io/former']]), all);
  expect(held.obstacle(a, MINE)).toBe('IOMMU group 7 is in use through 0000:01:00.0 (resource a.io/former)');
  expect(held.obstacle(a, 'resource a.io/former')).toBeUndefined();
});

describe('a prepared ResourceClaim', () => {
  test('keeps the device plugin from its device and from the mates, until it is unprepared', () => {
    const { claims: held } = claims();
    held.claim([a], 'claim x');
    expect([a, b, c].map((each) => held.obstacle(each, MINE))).toEqual([
      'IOMMU group 7 is in use through 0000:01:00.0 (claim x)',
      'IOMMU group 7 is in use through 0000:01:00.0 (claim x)',
      undefined,
    ]);
    expect(held.obstacle(a, 'claim x')).toBeUndefined();
    expect(held.obstacle(b, 'claim y')).toBeDefined();
    held.reconcile(used(), all);
    expect(held.obstacle(a, MINE)).toBeDefined();
    held.release('claim x');
    expect(held.obstacle(a, MINE)).toBeUndefined();
  });

  test("is kept from a container's device", () => {
    const { claims: held } = claims();
    held.claim([a], MINE);
    expect(held.rivals(a, together(a), 'claim x')).toEqual([a.bdf]);
  });
});

describe('written down', () => {
  test('claims come back as they were', () => {
    const { claims: held } = claims();
    held.claim([a, b], MINE);
    held.claim([c], 'claim x');
    const read = claimsFromJson(JSON.parse(JSON.stringify(claimsToJson(held.all))));
    expect(read).toEqual(held.all);
    const { claims: other } = claims();
    other.restore(read!);
    expect(other.obstacle(c, MINE)).toBe(held.obstacle(c, MINE));
  });

  test.each([
    ['no list', {}],
    ['a bad address', [{ group: 1, devices: ['x'], holder: 'resource a.io/x', since: 0, confirmed: true }]],
    ['a bad holder', [{ group: 1, devices: [], holder: 'pod', since: 0, confirmed: true }]],
    ['no group', [{ devices: [], holder: 'resource a.io/x', since: 0, confirmed: true }]],
  ])('%s is not taken for claims', (_, json) => {
    expect(claimsFromJson(json)).toBeUndefined();
  });
});

describe('group numbers that changed since', () => {
  const moved = (of: PluginDevice, iommuGroup: number): PluginDevice => ({ ...of, iommuGroup });

  test('a claim follows its devices', () => {
    const { claims: held } = claims();
    held.claim([a], MINE);
    held.regroup([moved(a, 8), moved(b, 8), moved(c, 7)]);
    expect(held.obstacle(moved(c, 7), MINE)).toBeUndefined();
    expect(held.obstacle(moved(b, 8), MINE)).toMatch(/IOMMU group 8 .*0000:01:00.0/);
  });

  test('two claims may change places', () => {
    const { claims: held } = claims();
    held.claim([a], MINE);
    held.claim([c], 'claim 1');
    held.regroup([moved(a, 8), moved(c, 7)]);
    expect(held.all.map(({ group, holder, devices }) => [group, holder, ...devices]).sort()).toEqual([
      [7, 'claim 1', c.bdf],
      [8, MINE, a.bdf],
    ]);
  });

  test('nothing is told where nothing moved', () => {
    const { claims: held } = claims();
    held.claim([a], MINE);
    let told = 0;
    held.onChange(() => told++);
    held.regroup(all);
    held.regroup([]);
    expect(told).toBe(0);
  });
});
