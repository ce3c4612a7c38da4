import { describe, expect, test } from '@jest/globals';
import { formatBdf } from '../bdf.js';
import { ListAndWatchResponse } from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { encode } from '../grpc/message.js';
import { silentLog, type LogFields } from '../log/log.js';
import { changesBetween, logChanges } from './changes.js';
import { LISTED_MAX, wireList, withinListLimit } from './device-list.js';
import type { Inventory } from './inventory.js';
import { HEALTHY, unhealthy, type PluginDevice } from './plugin-device.js';
import { parseResourceName } from './resource-name.js';

/** grpc-go's default for what a client takes, bytes; kubelet sets no other (v1.36 pkg/kubelet/cm/devicemanager/plugin). */
const KUBELET_TAKES = 4_194_304;

const gpu = parseResourceName('a.io/gpu');
const nic = parseResourceName('a.io/nic');

/** Devices that take as many bytes as any can, in BDF order. */
const LARGEST = Array.from({ length: LISTED_MAX + 1000 }, (_, n): PluginDevice => ({
  bdf: formatBdf(0xf000_0000 + n, 0, 0, 0)!,
  driver: 'vfio-pci',
  iommuGroup: n,
  groupMates: [],
  smmu: undefined,
  numaNode: 0x7fff_ffff,
  pcieRoot: undefined,
  health: unhealthy('gone'),
}));

function largest(count: number): PluginDevice[] {
  return LARGEST.slice(0, count);
}

function bytes(devices: readonly PluginDevice[]): number {
  return encode(ListAndWatchResponse, wireList(devices)).byteLength;
}

function inventory(devices: readonly PluginDevice[]): Inventory {
  return { resources: new Map([[gpu, devices]]), notAdvertised: [] };
}

describe('the list of a resource', () => {
  test.each([
    ['one less than fit', LISTED_MAX - 1, 0],
    ['as many as fit', LISTED_MAX, 0],
    ['one more than fits', LISTED_MAX + 1, 1],
    ['many more than fit', LISTED_MAX + 1000, 1000],
  ])('%s', (_, count, leftOut) => {
    const all = largest(count);
    const { resources, notAdvertised } = withinListLimit(inventory(all));
    expect(resources.get(gpu)).toHaveLength(count - leftOut);
    expect(notAdvertised.map(({ bdf }) => bdf)).toEqual(
      all.slice(count - leftOut).map(({ bdf }) => bdf), // the highest addresses
    );
  });

  test('is no longer than the kubelet takes, and has no room for one more of the largest', () => {
    const full = bytes(largest(LISTED_MAX));
    expect(full).toBeLessThanOrEqual(KUBELET_TAKES);
    expect(full + bytes(largest(1))).toBeGreaterThan(KUBELET_TAKES);
  });

  test('is of the same devices whatever their health', () => {
    const left = (all: readonly PluginDevice[]) => withinListLimit(inventory(all)).notAdvertised;
    const all = largest(LISTED_MAX + 5);
    expect(left(all.map((device) => ({ ...device, health: HEALTHY })))).toEqual(left(all));
  });

  test('leaves other resources, and what is not advertised for other reasons, as they are', () => {
    const other = largest(2);
    const elsewhere = { bdf: formatBdf(1, 0, 0, 0)!, reason: 'it is on nvme' };
    const { resources, notAdvertised } = withinListLimit({
      resources: new Map([
        [gpu, largest(LISTED_MAX + 1)],
        [nic, other],
      ]),
      notAdvertised: [elsewhere],
    });
    expect(resources.get(nic)).toEqual(other);
    expect(notAdvertised).toMatchObject([elsewhere, { fault: 'room', reason: expect.stringContaining(gpu) }]);
  });

  test('that is full is said once, with the number of those left out, and not again while it stays so', () => {
    const said: (LogFields | undefined)[] = [];
    const log = { ...silentLog, warn: (_: string, fields?: LogFields) => void said.push(fields) };
    const nothing: Inventory = { resources: new Map(), notAdvertised: [] };
    const full = withinListLimit(inventory(largest(LISTED_MAX + 3)));
    const still = withinListLimit(inventory(largest(LISTED_MAX + 3)));
    for (const [before, now] of [
      [nothing, full],
      [full, still],
    ] as const)
      logChanges(
        changesBetween(before, now).filter(({ kind }) => kind === 'not-advertised'),
        log,
      );
    expect(said).toEqual([{ count: 3, reason: full.notAdvertised[0]!.reason }]);
  });
});
