import { attribute, childOf, type XmlElement } from './element.js';

/** Does libvirt give this device to QEMU through iommufd? The device's own word counts before the domain's. */
export function usesIommufd(root: XmlElement, device: XmlElement): boolean {
  const own = attribute(childOf(device, 'driver'), 'iommufd');
  if (own !== undefined) return own === 'yes';
  return attribute(childOf(root, 'iommufd'), 'enabled') === 'yes';
}
