import { ListAndWatchResponse } from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { encode, type Init } from '../grpc/message.js';
import { MESSAGE_MAX } from '../grpc/wire.js';
import type { Inventory, NotAdvertised } from './inventory.js';
import { unhealthy, type PluginDevice } from './plugin-device.js';
import type { ResourceName } from './resource-name.js';

export type DeviceList = readonly PluginDevice[];

type SaidOfDevice = Pick<PluginDevice, 'health' | 'numaNode'> & { readonly bdf: string };

/** One answer of ListAndWatch. */
export function wireList(devices: readonly SaidOfDevice[]): Init<ListAndWatchResponse> {
  return {
    devices: devices.map(({ bdf, health, numaNode }) => ({
      ID: bdf,
      // Anything but these two words counts as unhealthy.
      health: health.healthy ? 'Healthy' : 'Unhealthy',
      ...(numaNode === undefined ? {} : { topology: { nodes: [{ ID: BigInt(numaNode) }] } }),
    })),
  };
}

/** What ListAndWatch sends, as one string: watchers hear of nothing else. */
export function announcementKey(devices: DeviceList): string {
  return devices.map(({ bdf, health, numaNode }) => `${bdf} ${health.healthy} ${numaNode ?? '-'}`).join();
}

/** None takes more bytes: the longest address, the longer word for its health, and INT_MAX for its node. */
const LARGEST: SaidOfDevice = {
  bdf: 'ffffffff:ff:1f.7',
  health: unhealthy('it is the longer word'),
  numaNode: 2 ** 31 - 1,
};

/**
 * Devices of one resource that fit into one answer, whatever they are called and however they are: were it counted
 * by bytes, a device whose health changes would push another one out. A kubelet that gets a larger answer than gRPC
 * takes drops the plugin, and does so again at each registration.
 */
export const LISTED_MAX = Math.floor(
  MESSAGE_MAX / encode(ListAndWatchResponse, wireList([LARGEST])).byteLength,
);

/** The inventory without the devices that no answer has room for: those with the highest addresses of their resource. */
export function withinListLimit({ resources, notAdvertised }: Inventory): Inventory {
  const listed = new Map<ResourceName, DeviceList>();
  const left: NotAdvertised[] = [];
  for (const [resource, devices] of resources) {
    listed.set(resource, devices.slice(0, LISTED_MAX));
    const reason = `${resource} has ${LISTED_MAX} devices already, and the kubelet takes no longer list`;
    for (const { bdf } of devices.slice(LISTED_MAX)) left.push({ bdf, reason, fault: 'room' });
  }
  return left.length === 0
    ? { resources, notAdvertised }
    : { resources: listed, notAdvertised: [...notAdvertised, ...left] };
}
