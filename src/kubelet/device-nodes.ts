import type { Bdf } from '../bdf.js';
import type { HostSource } from '../host/host-source.js';
import { isShortage } from './trusted-scan.js';
import { unhealthy, type PluginDevice } from './plugin-device.js';

type Sysfs = Pick<HostSource, 'readLink' | 'list' | 'exists'>;

/** The nodes under /dev that give a container its device. */
export interface DeviceNodes {
  readonly container: string;
  readonly group: string;
  /** Only where the node itself is there: Debian's 6.12 shows vfio-dev in sysfs and has no such node. */
  readonly cdev: string | undefined;
}

/** Present, or what speaks against handing the device out; `unsure` where it could not be looked at. */
export type LiveCheck =
  | { readonly ok: true; readonly nodes: DeviceNodes }
  | { readonly ok: false; readonly problem: string; readonly remedy: string; readonly unsure?: true };

export const VFIO_CONTAINER = '/dev/vfio/vfio';
export const IOMMUFD_NODE = '/dev/iommu';

/**
 * Looks at the host as it is now: is the device there, on the same driver, in the same group, with its nodes?
 * A few readlinks, so that it can run in every Allocate.
 */
export function checkDevice(source: Sysfs, device: PluginDevice): LiveCheck {
  const { bdf } = device;
  const base = `/sys/bus/pci/devices/${bdf}`;
  const driver = linkName(source, `${base}/driver`);
  if (driver === undefined) {
    const gone = isAbsent(source, base);
    return gone
      ? problem(`${bdf} is gone from the host`, 'See the kernel log for a surprise removal.')
      : problem(`${bdf} is on no driver any more`, `Bind it to ${device.driver} again.`);
  }
  if (driver !== device.driver) {
    return problem(
      `${bdf} is on ${driver} now, not on ${device.driver}`,
      `Bind it to ${device.driver} again.`,
    );
  }
  const group = linkName(source, `${base}/iommu_group`);
  if (group !== device.iommuGroup.toString()) {
    const now = group === undefined ? 'in no IOMMU group' : `in IOMMU group ${group}`;
    return problem(
      `${bdf} is ${now}, not in ${device.iommuGroup}`,
      'Wait for the next scan and start the pod again.',
    );
  }
  return checkNodes(source, bdf, group);
}

/**
 * The device with its health as the host is now: one without its nodes under /dev/vfio is ready for the probe, and of
 * no use for a container.
 */
export function asItIsNow(source: Sysfs, device: PluginDevice): PluginDevice {
  if (!device.health.healthy) return device;
  const live = checkDevice(source, device);
  if (live.ok || live.unsure === true) return device;
  return { ...device, health: unhealthy(`${live.problem}: ${live.remedy}`) };
}

function checkNodes(source: Sysfs, bdf: Bdf, group: string): LiveCheck {
  const groupNode = `/dev/vfio/${group}`;
  for (const node of [VFIO_CONTAINER, groupNode]) {
    if (isAbsent(source, node)) {
      return problem(
        `${node} is missing, which ${bdf} needs`,
        'Load the modules vfio and vfio-pci; check the mount of /dev/vfio.',
      );
    }
  }
  const names = source.list(`/sys/bus/pci/devices/${bdf}/vfio-dev`);
  // Without its cdev a device would be handed out as if it had none, and a VM with IOMMUFD would not start.
  if (!names.ok && isShortage(names)) {
    const remedy = 'Raise the limit of open files (ulimit -n) of the agent.';
    return { ...problem(`${bdf} cannot be looked at: ${names.because}`, remedy), unsure: true };
  }
  const cdev = names.ok ? cdevOf(source, names.value[0]) : undefined;
  return { ok: true, nodes: { container: VFIO_CONTAINER, group: groupNode, cdev } };
}

function problem(text: string, remedy: string): LiveCheck & { readonly ok: false } {
  return { ok: false, problem: text, remedy };
}

function linkName(source: Sysfs, path: string): string | undefined {
  const link = source.readLink(path);
  return link.ok ? link.value.slice(link.value.lastIndexOf('/') + 1) : undefined;
}

/** Certainly not there. A recording that does not speak of a node does not make it absent. */
function isAbsent(source: Sysfs, path: string): boolean {
  const found = source.exists(path);
  return found.ok && !found.value;
}

export function isPresent(source: Pick<HostSource, 'exists'>, path: string): boolean {
  const found = source.exists(path);
  return found.ok && found.value;
}

function cdevOf(source: Sysfs, name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const node = `/dev/vfio/devices/${name}`;
  return isPresent(source, node) ? node : undefined;
}
