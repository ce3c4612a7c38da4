import { readAddress } from './domain-model.js';
import { attribute, childOf, type XmlElement } from './element.js';

const PCI_CONTROLLERS: ReadonlySet<string> = new Set(['nvme', 'sata', 'scsi', 'usb', 'virtio-serial']);

const own = (device: XmlElement, name: string) => attribute(device, name) ?? '';
const typeOf = (device: XmlElement, child: string) => attribute(childOf(device, child), 'type') ?? '';
const always = () => true;

/** Kinds of devices that are PCI devices on an aarch64 virt machine, or which of them are (libvirt 12.8). */
const PCI_KINDS: ReadonlyMap<string, (device: XmlElement) => boolean> = new Map([
  ['controller', (device) => PCI_CONTROLLERS.has(own(device, 'type')) && own(device, 'model') !== 'none'],
  ['crypto', always],
  ['disk', (device) => diskBus(device) === 'virtio'],
  ['filesystem', always],
  ['hostdev', isPciHostdev],
  ['input', (device) => own(device, 'bus') === 'virtio'],
  ['interface', (device) => typeOf(device, 'model') !== 'usb-net'],
  ['memballoon', (device) => own(device, 'model') !== 'none'],
  ['memory', (device) => /^virtio-p?mem$/.test(own(device, 'model'))],
  ['panic', (device) => /^(pvpanic)?$/.test(own(device, 'model'))],
  ['rng', always],
  ['serial', (device) => typeOf(device, 'target') === 'pci-serial'],
  ['shmem', always],
  ['sound', (device) => own(device, 'model') !== 'usb'],
  ['video', (device) => !/^(none|ramfb)$/.test(typeOf(device, 'model'))],
  ['vsock', always],
  ['watchdog', (device) => own(device, 'model') === 'i6300esb'],
]);

/** Devices that libvirt makes PCI devices below pcie.0 of an aarch64 virt machine when they have no address. */
export function isImplicitPci(device: XmlElement): boolean {
  const address = childOf(device, 'address');
  if (address !== undefined && (attribute(address, 'type') !== 'pci' || readAddress(device) !== undefined))
    return false;
  return PCI_KINDS.get(device.local)?.(device) === true;
}

/** libvirt tells the bus by the name where it is not said: vda is a virtio disk. */
function diskBus(disk: XmlElement): string | undefined {
  const target = childOf(disk, 'target');
  const named = attribute(target, 'dev')?.startsWith('vd') === true ? 'virtio' : undefined;
  return attribute(target, 'bus') ?? named;
}

/** Beside those of the host's PCI devices, which are passed through. */
function isPciHostdev(hostdev: XmlElement): boolean {
  const type = own(hostdev, 'type');
  return type === 'scsi_host' || (type === 'mdev' && own(hostdev, 'model') === 'vfio-pci');
}
