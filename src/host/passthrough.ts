import type { Bdf } from '../bdf.js';
import type { HwInfoReply } from './hw-info.js';
import type { GroupMate, Passthrough } from './report.js';
import type { SysfsDevice } from './sysfs-device.js';

const BRIDGE_CLASS = 0x06;
/** Drivers that do no DMA of their own and so leave a group viable (driver_managed_dma in the kernel's drivers). */
const HARMLESS_DRIVERS: ReadonlySet<string> = new Set(['pci-stub', 'pcieport', 'pci-pf-stub']);

export function isBridge(device: Pick<SysfsDevice, 'classCode'>): boolean {
  return device.classCode !== undefined && device.classCode >>> 16 === BRIDGE_CLASS;
}

/** vfio-pci by name, a variant driver by its vfio-dev entry; without sysfs, a reply shows that the cdev was there. */
export function isVfioBound(
  device: Pick<SysfsDevice, 'driver' | 'driverKnown' | 'vfioName'>,
  reply: HwInfoReply | undefined,
): boolean {
  if (device.driver === 'vfio-pci' || device.vfioName !== undefined) return true;
  return !device.driverKnown && reply !== undefined && reply.kind !== 'not-asked';
}

/** Does a group mate keep the device from being passed through? */
function hinders(mate: SysfsDevice | undefined): boolean {
  if (mate?.driver === undefined || isBridge(mate) || HARMLESS_DRIVERS.has(mate.driver)) return false;
  return !isVfioBound(mate, undefined);
}

export function groupMembersOf(
  device: SysfsDevice,
  devices: ReadonlyMap<Bdf, SysfsDevice>,
): readonly GroupMate[] {
  return device.groupMates.map((bdf) => {
    const mate = devices.get(bdf);
    return { bdf, driver: mate?.driver, hinders: hinders(mate) };
  });
}

/** @param devices every device of the host, for the drivers of group mates */
export function passthroughOf(
  device: SysfsDevice,
  reply: HwInfoReply | undefined,
  devices: ReadonlyMap<Bdf, SysfsDevice>,
): Passthrough {
  if (!isVfioBound(device, reply)) return { ready: false, reason: notVfioReason(device) };
  if (device.unconfined !== undefined)
    return { ready: false, reason: `${device.unconfined}: a VM that has it could reach all memory` };
  const hindrances = groupMembersOf(device, devices)
    .filter((mate) => mate.hinders)
    .map(({ bdf, driver }) => `${bdf} of its IOMMU group is on driver ${driver ?? ''}`);
  if (hindrances.length > 0) return { ready: false, reason: `group not viable: ${hindrances.join(', ')}` };
  if (reply?.kind === 'failed' && reply.step === 'bind' && reply.errno === 'EPERM') {
    // A VM that has a mate owns the group, and may be given this device as well.
    const mayBeInUse = device.groupMates.some((mate) => {
      const member = devices.get(mate);
      return member !== undefined && isVfioBound(member, undefined);
    });
    if (!mayBeInUse)
      return { ready: false, reason: 'group not viable: the kernel refused to bind it (EPERM)' };
  }
  return { ready: true, driver: device.driver ?? 'a VFIO driver' };
}

function notVfioReason(device: SysfsDevice): string {
  if (isBridge(device)) return 'a bridge is not passed through';
  if (!device.driverKnown) return 'its driver could not be read';
  if (device.driver === undefined) return 'no driver; bind it to vfio-pci or its variant driver';
  return `on driver ${device.driver}; bind it to vfio-pci or its variant driver`;
}
