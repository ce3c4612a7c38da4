import { compareBdf, type Bdf } from '../bdf.js';
import { messageOf } from '../errors.js';
import type { DeviceReport, HostReport } from '../host/report.js';
import { valueOf } from '../smmu/answer.js';
import { HEALTHY, unhealthy, type Health, type PluginDevice } from './plugin-device.js';
import type { ResourceName } from './resource-name.js';

/** A device that no resource has, and why: shown in the log, in /status and in `vsmmu probe --all`. */
export interface NotAdvertised {
  readonly bdf: Bdf;
  readonly reason: string;
}

export interface Inventory {
  /** Devices of each resource, in BDF order. */
  readonly resources: ReadonlyMap<ResourceName, readonly PluginDevice[]>;
  readonly notAdvertised: readonly NotAdvertised[];
}

/** Which resource a device belongs to, or why to none. */
export type Naming = (
  device: DeviceReport,
  host: HostReport,
) => { readonly resource: ResourceName } | { readonly reason: string };

export interface InventoryInput {
  readonly host: HostReport;
  readonly naming: Naming;
}

/**
 * What to advertise of a host. A device on a VFIO driver that can't be handed out now is advertised as unhealthy
 * with its reason; one on any other driver, or on none, is not advertised at all.
 */
export function takeInventory({ host, naming }: InventoryInput): Inventory {
  const resources = new Map<ResourceName, PluginDevice[]>();
  const notAdvertised: NotAdvertised[] = [];
  for (const device of [...host.devices].sort((a, b) => compareBdf(a.bdf, b.bdf))) {
    const candidate = candidateOf(device);
    const named = 'reason' in candidate ? candidate : nameOf(device, host, naming);
    if ('reason' in candidate || 'reason' in named) {
      notAdvertised.push({ bdf: device.bdf, reason: 'reason' in named ? named.reason : '' });
      continue;
    }
    const devices = resources.get(named.resource) ?? [];
    devices.push(candidate);
    resources.set(named.resource, devices);
  }
  return { resources, notAdvertised };
}

function nameOf(device: DeviceReport, host: HostReport, naming: Naming): ReturnType<Naming> {
  try {
    return naming(device, host);
  } catch (error) {
    return { reason: messageOf(error) };
  }
}

function candidateOf(device: DeviceReport): PluginDevice | { readonly reason: string } {
  const { driver, passthrough } = device;
  if (driver === undefined)
    return { reason: passthrough.ready ? 'its driver is unknown' : passthrough.reason };
  if (!passthrough.ready && !device.vfio) return { reason: passthrough.reason };
  if (!device.iommuGroup.known) return { reason: `its IOMMU group is unknown: ${device.iommuGroup.because}` };
  return {
    bdf: device.bdf,
    driver,
    iommuGroup: device.iommuGroup.value,
    groupMates: device.groupMates,
    smmu: valueOf(device.smmu),
    numaNode: numaNodeOf(device),
    pcieRoot: valueOf(device.pcieRoot),
    health: healthOf(device),
  };
}

function healthOf(device: DeviceReport): Health {
  return device.passthrough.ready ? HEALTHY : unhealthy(device.passthrough.reason);
}

function numaNodeOf(device: DeviceReport): number | undefined {
  const node = valueOf(device.numaNode);
  return node === null || node === undefined || node < 0 ? undefined : node;
}
