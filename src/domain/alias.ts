import { attribute, childOf, type XmlElement } from './element.js';

/** What libvirt lets a user choose (since 3.9.0); it discards every other alias when it reads a domain. */
const USER_ALIAS = /^ua-[A-Za-z0-9_-]*$/;

/** The alias a user chose for a device, where libvirt keeps it. */
export function userAlias(device: XmlElement): string | undefined {
  const alias = attribute(childOf(device, 'alias'), 'name');
  return alias !== undefined && USER_ALIAS.test(alias) ? alias : undefined;
}

/**
 * Final aliases of hostdevs, in libvirt's order: the user's own, or "hostdev" and the next number. Those with an
 * alias of their own take no number (libvirt 12.8).
 */
export function hostdevAliases(devices: readonly XmlElement[]): ReadonlyMap<XmlElement, string> {
  let number = 0;
  return new Map(
    devices.map((device): [XmlElement, string] => [device, userAlias(device) ?? `hostdev${number++}`]),
  );
}

/** Final aliases of iommus: here the number is the place in the document, whether or not it is used (libvirt 12.8). */
export function iommuAliases(devices: readonly XmlElement[]): ReadonlyMap<XmlElement, string> {
  return new Map(
    devices.map((device, place): [XmlElement, string] => [device, userAlias(device) ?? `iommu${place}`]),
  );
}
