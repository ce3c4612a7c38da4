import { compareBdf, type Bdf } from '../bdf.js';
import { messageOf } from '../errors.js';
import type { DeviceReport, HostReport } from '../host/report.js';
import { valueOf } from '../smmu/answer.js';
import { HEALTHY, unhealthy, type Health, type PluginDevice } from './plugin-device.js';
import { collisionOf, VariableOwners, type ResourceName } from './resource-name.js';

/** A device that no resource has, and why: shown in the log, in /status and in `vsmmu probe --all`. */
export interface NotAdvertised {
  readonly bdf: Bdf;
  readonly reason: string;
  /**
   * It could be handed out, and only its resource stands in the way: its name can't be made, or is another's, or the
   * list of its devices is full.
   */
  readonly fault?: 'name' | 'collision' | 'room';
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
) => { readonly resource: ResourceName } | Omit<NotAdvertised, 'bdf'>;

export interface InventoryInput {
  readonly host: HostReport;
  readonly naming: Naming;
  /** Resources that exist already: one that comes later gives way where both have one environment variable. */
  readonly inForce?: Iterable<ResourceName>;
}

/**
 * What to advertise of a host. A device on a VFIO driver that can't be handed out now is advertised as unhealthy
 * with its reason; one on any other driver, or on none, is not advertised at all.
 */
export function takeInventory({ host, naming, inForce = [] }: InventoryInput): Inventory {
  const resources = new Map<ResourceName, PluginDevice[]>();
  const notAdvertised: NotAdvertised[] = [];
  const owners = new VariableOwners(inForce);
  for (const device of [...host.devices].sort((a, b) => compareBdf(a.bdf, b.bdf))) {
    const { bdf } = device;
    const candidate = candidateOf(device);
    if ('reason' in candidate) {
      notAdvertised.push({ bdf, reason: candidate.reason });
      continue;
    }
    const named = nameOf(device, host, naming, owners);
    if ('reason' in named) {
      notAdvertised.push({ bdf, ...named });
      continue;
    }
    const devices = resources.get(named.resource) ?? [];
    devices.push(candidate);
    resources.set(named.resource, devices);
  }
  return { resources, notAdvertised };
}

function nameOf(
  device: DeviceReport,
  host: HostReport,
  naming: Naming,
  owners: VariableOwners,
): ReturnType<Naming> {
  try {
    const named = naming(device, host);
    if ('reason' in named) return named;
    const rival = owners.rivalOf(named.resource);
    return rival === undefined ? named : { reason: collisionOf(named.resource, rival), fault: 'collision' };
  } catch (error) {
    return { reason: messageOf(error), fault: 'name' };
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
