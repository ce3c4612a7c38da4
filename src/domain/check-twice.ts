import { userAlias } from './alias.js';
import type { Placement } from './domain-model.js';
import type { XmlElement } from './element.js';
import type { Plan } from './plan.js';

/**
 * What a domain may have only once: the alias a user chose, the host device that is given away, the guest address of
 * one. libvirt 12.8 refuses each ("non unique alias detected", "Hostdev already exists in the domain configuration",
 * "Attempted double use of PCI Address"); a rewriter that went on would write two values for one name.
 */
export function checkTwice(plan: Plan): void {
  const { devices, passthrough } = plan.model;
  refuseSecond(
    plan,
    devices.map((element) => ({ element, key: userAlias(element) })),
    (alias) => `the alias ${alias} is another device's too`,
    'Give each device an alias of its own; those of overrides too.',
  );
  refuseSecond(
    plan,
    passthrough.map(({ element, bdf }) => ({ element, key: bdf })),
    (bdf) => `the host device ${bdf} is given to the guest twice`,
    'Leave one of the two out.',
  );
  refuseSecond(
    plan,
    passthrough.map(({ element, placement }) => ({ element, key: addressText(placement) })),
    (address) => `another passed-through device has the guest address ${address} too`,
    'Give each an address of its own, or leave <address> out.',
  );
}

/** undefined where libvirt chooses. */
function addressText(placement: Placement): string | undefined {
  if (placement.kind !== 'at') return undefined;
  const { bus, slot, fn } = placement.address;
  return `bus ${bus}, slot ${slot}, function ${fn}`;
}

/** @param entries an undefined key has nothing to compare */
function refuseSecond(
  plan: Plan,
  entries: readonly { readonly element: XmlElement; readonly key: string | undefined }[],
  what: (key: string) => string,
  remedy: string,
): void {
  const seen = new Set<string>();
  for (const { element, key } of entries) {
    if (key === undefined) continue;
    if (seen.has(key))
      plan.refuse(element, 'DEVICE_TWICE', `<${element.local}>: ${what(key)}; libvirt refuses that`, remedy);
    seen.add(key);
  }
}
