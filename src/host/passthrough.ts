import type { Bdf } from '../bdf.js';
import { explainErrno, type HwInfoReply } from './hw-info.js';
import type { GroupMate, Passthrough } from './report.js';
import type { SysfsDevice } from './sysfs-device.js';

const BRIDGE_CLASS = 0x06;
/** "Other bridge", which is an endpoint with a driver of its own, such as an NVSwitch. */
const OTHER_BRIDGE = 0x0680;
/** Drivers that do no DMA of their own and so leave a group viable (driver_managed_dma in the kernel's drivers). */
const HARMLESS_DRIVERS: ReadonlySet<string> = new Set(['pci-stub', 'pcieport', 'pci-pf-stub']);

const BIND_IT = 'Bind it to vfio-pci or its variant driver.';
const BIND_MATES = 'Bind every member of the group to a VFIO driver, or leave it without one.';
const READ_AGAIN = 'Look at its driver link on the host, or record the host again.';

export function isBridge(device: Pick<SysfsDevice, 'classCode'>): boolean {
  const { classCode } = device;
  return classCode !== undefined && classCode >>> 16 === BRIDGE_CLASS && classCode >>> 8 !== OTHER_BRIDGE;
}

/** vfio-pci by name, a variant driver by its vfio-dev entry; without sysfs, a reply shows that the cdev was there. */
export function isVfioBound(
  device: Pick<SysfsDevice, 'driver' | 'driverKnown' | 'vfioName'>,
  reply: HwInfoReply | undefined,
): boolean {
  if (device.driver === 'vfio-pci' || device.vfioName !== undefined) return true;
  return !device.driverKnown && reply !== undefined && reply.kind !== 'not-asked';
}

/** Does a group mate keep the device from being passed through? A driver that could not be read may. */
function hinders(mate: SysfsDevice | undefined): boolean {
  if (mate === undefined || isBridge(mate) || isVfioBound(mate, undefined)) return false;
  return mate.driver === undefined ? !mate.driverKnown : !HARMLESS_DRIVERS.has(mate.driver);
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
  if (!isVfioBound(device, reply)) return notVfio(device);
  if (device.unconfined !== undefined)
    return {
      ready: false,
      reason: `${device.unconfined}: a VM that has it could reach all memory`,
      remedy: 'Put it behind an SMMU that the kernel uses, and VFIO out of no-IOMMU mode.',
    };
  const hindering = groupMembersOf(device, devices).filter((mate) => mate.hinders);
  if (hindering.length > 0) {
    const mates = hindering.map(({ bdf, driver }) =>
      driver === undefined
        ? `the driver of ${bdf} of its IOMMU group could not be read`
        : `${bdf} of its IOMMU group is on driver ${driver}`,
    );
    const remedy = hindering.some(({ driver }) => driver !== undefined) ? BIND_MATES : READ_AGAIN;
    return { ready: false, reason: `group not viable: ${mates.join(', ')}`, remedy };
  }
  if (reply?.kind === 'failed' && reply.step === 'bind' && reply.errno === 'EPERM') {
    // A VM that has a mate owns the group, and may be given this device as well.
    const mayBeInUse = device.groupMates.some((mate) => {
      const member = devices.get(mate);
      return member !== undefined && isVfioBound(member, undefined);
    });
    if (!mayBeInUse)
      return {
        ready: false,
        reason: 'group not viable: the kernel refused to bind it (EPERM)',
        remedy: explainErrno('bind', 'EPERM').remedy,
      };
  }
  return { ready: true, driver: device.driver ?? 'a VFIO driver' };
}

function notVfio(device: SysfsDevice): Passthrough {
  if (isBridge(device))
    return {
      ready: false,
      reason: 'a bridge is not passed through',
      remedy: 'Pass through the devices behind it.',
    };
  if (!device.driverKnown)
    return { ready: false, reason: 'its driver could not be read', remedy: READ_AGAIN };
  const has = device.driver === undefined ? 'no driver' : `on driver ${device.driver}`;
  return { ready: false, reason: `${has}; bind it to vfio-pci or its variant driver`, remedy: BIND_IT };
}
