import { attribute, childOf, type XmlElement } from './element.js';

/** Devices that libvirt makes PCI devices on pcie.0 of an aarch64 virt machine when they have no address. */
export function isImplicitPci(device: XmlElement): boolean {
  if (childOf(device, 'address') !== undefined) return false;
  const model = attribute(childOf(device, 'model'), 'type');
  switch (device.local) {
    case 'interface':
    case 'rng':
    case 'sound':
    case 'vsock':
      return true;
    case 'disk':
      return attribute(childOf(device, 'target'), 'bus') === 'virtio';
    case 'video':
      return model !== undefined && model !== 'none';
    case 'memballoon':
      return attribute(device, 'model') !== 'none';
    case 'controller':
      return attribute(device, 'type') !== 'pci' && attribute(device, 'model') !== 'none';
    default:
      return false;
  }
}
