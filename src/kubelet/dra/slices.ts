import { createHash } from 'node:crypto';

import type { KubeObject, Manifest, ResourceType } from '../../cluster/resource.js';
import { DRA_DRIVER } from '../../cluster/dra-resources.js';
import { type Attributes, type DraDevice } from './device.js';

export const RESOURCE_SLICE: ResourceType = {
  group: 'resource.k8s.io',
  version: 'v1',
  kind: 'ResourceSlice',
  plural: 'resourceslices',
  namespaced: false,
};

/** resource.k8s.io/v1 ResourceSliceMaxDevices…: 128 devices, 64 where any of them has a taint. */
const DEVICES_MAX = 128;
const DEVICES_MAX_WITH_TAINTS = 64;

export const TAINT_KEY = `${DRA_DRIVER}/unusable`;

/** Why a device may not be given to a new claim at this moment; part of the slice, so that kubectl shows it. */
export type Unusable = 'unhealthy' | 'in-use';

export interface SliceDevice {
  readonly name: string;
  readonly attributes: Attributes;
  readonly taints?: readonly {
    readonly key: string;
    readonly value: Unusable;
    readonly effect: 'NoSchedule';
  }[];
}

/** Devices of the slices, in the order in which the scheduler shall prefer them. */
export function sliceDevices(
  devices: readonly DraDevice[],
  unusable: (device: DraDevice) => Unusable | undefined,
): SliceDevice[] {
  return devices.map((device) => {
    const reason = unusable(device);
    const { name, attributes } = device;
    return reason === undefined
      ? { name, attributes }
      : { name, attributes, taints: [{ key: TAINT_KEY, value: reason, effect: 'NoSchedule' }] };
  });
}

/** Cut into slices; one empty slice rather than none, so that the pool is seen to be there. */
export function cutIntoSlices(devices: readonly SliceDevice[]): SliceDevice[][] {
  const size = devices.some(({ taints }) => taints !== undefined) ? DEVICES_MAX_WITH_TAINTS : DEVICES_MAX;
  const slices: SliceDevice[][] = [];
  for (let at = 0; at < devices.length; at += size) slices.push(devices.slice(at, at + size));
  return slices.length === 0 ? [[]] : slices;
}

export interface SliceOwner {
  readonly nodeName: string;
  /** Slices go with their Node. */
  readonly nodeUid: string;
}

/** The scheduler takes slices in the order of their names, and a pool only when all its slices have one generation. */
export function sliceManifest(
  { nodeName, nodeUid }: SliceOwner,
  devices: readonly SliceDevice[],
  index: number,
  count: number,
  generation: number,
  resourceVersion: string | undefined,
): Manifest {
  return {
    apiVersion: 'resource.k8s.io/v1',
    kind: 'ResourceSlice',
    metadata: {
      name: sliceName(nodeName, index),
      ...(resourceVersion !== undefined && { resourceVersion }),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeUid, controller: true }],
    },
    spec: {
      driver: DRA_DRIVER,
      nodeName,
      pool: { name: nodeName, generation, resourceSliceCount: count },
      devices,
    },
  };
}

/** Names of objects, and of Nodes as well (DNS subdomains, Kubernetes 1.36). */
const NAME_MAX = 253;

/** A Node's name that leaves no room for the rest is told by its digest; `spec.nodeName` has it whole. */
export function sliceName(nodeName: string, index: number): string {
  const stem = `${index.toString(16).padStart(5, '0')}-${DRA_DRIVER}-`;
  if (stem.length + nodeName.length <= NAME_MAX) return stem + nodeName;
  return stem + createHash('sha256').update(nodeName).digest('hex').slice(0, 32);
}

export interface PublishedSlice {
  readonly name: string;
  readonly resourceVersion: string | undefined;
  readonly generation: number;
  readonly count: number;
  readonly devices: readonly unknown[];
}

/** What of a slice matters here; tolerant, as an older or newer API server may have written it. */
export function readSlice({ metadata, spec }: KubeObject): PublishedSlice {
  const { pool, devices }: { pool?: unknown; devices?: unknown } =
    typeof spec === 'object' && spec !== null ? spec : {};
  const { generation, resourceSliceCount }: { generation?: unknown; resourceSliceCount?: unknown } =
    typeof pool === 'object' && pool !== null ? pool : {};
  return {
    name: metadata.name,
    resourceVersion: metadata.resourceVersion,
    generation: typeof generation === 'number' ? generation : 0,
    count: typeof resourceSliceCount === 'number' ? resourceSliceCount : 0,
    devices: Array.isArray(devices) ? devices : [],
  };
}

/** The devices of a slice without what the API server adds (`timeAdded` of a taint), as one comparable string. */
export function deviceKey(devices: readonly unknown[]): string {
  return JSON.stringify(devices, (key, value: unknown) => {
    if (key === 'timeAdded') return undefined;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
