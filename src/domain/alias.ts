import { attribute, childOf, type XmlElement } from './element.js';

/** What libvirt lets a user choose (since 3.9.0); it discards every other alias when it reads a domain. */
const USER_ALIAS = /^ua-[A-Za-z0-9_-]*$/;

function userAlias(device: XmlElement): string | undefined {
  const alias = attribute(childOf(device, 'alias'), 'name');
  return alias !== undefined && USER_ALIAS.test(alias) ? alias : undefined;
}

/**
 * Final aliases of devices of one kind, in libvirt's order: the user's own, or prefix and number, where devices
 * with an alias of their own take no number.
 */
export function finalAliases(
  prefix: string,
  devices: readonly XmlElement[],
): ReadonlyMap<XmlElement, string> {
  let number = 0;
  return new Map(
    devices.map((device): [XmlElement, string] => [device, userAlias(device) ?? `${prefix}${number++}`]),
  );
}
