import { userAlias } from './alias.js';
import type { XmlElement } from './element.js';
import type { Plan } from './plan.js';

/**
 * What a domain may have only once: the alias a user chose, the host device that is given away, the guest address of
 * one. libvirt 12.8 refuses each ("non unique alias detected", "Hostdev already exists in the domain configuration",
 * "Attempted double use of PCI Address"); a rewriter that went on would write two values for one name.
 */
export function checkTwice(plan: Plan): void {
  const { devices, passthrough } = plan.model;
  refuseSecond(plan, devices, {
    keyOf: userAlias,
    what: (alias) => `the alias ${alias} is another device's too`,
    remedy: 'Give each device an alias of its own; those of overrides too.',
  });
  const byElement = new Map(passthrough.map((device) => [device.element, device]));
  const elements = [...byElement.keys()];
  refuseSecond(plan, elements, {
    keyOf: (element) => byElement.get(element)?.bdf,
    what: (bdf) => `the host device ${bdf} is given to the guest twice`,
    remedy: 'Leave one of the two out.',
  });
  refuseSecond(plan, elements, {
    keyOf: (element) => {
      const placement = byElement.get(element)?.placement;
      if (placement?.kind !== 'at') return undefined;
      const { bus, slot, fn } = placement.address;
      return bus === 0 && slot === 0 && fn === 0 ? undefined : `bus ${bus}, slot ${slot}, function ${fn}`;
    },
    what: (address) => `another passed-through device has the guest address ${address} too`,
    remedy: 'Give each an address of its own, or leave <address> out.',
  });
}

interface Once {
  /** undefined: has none, so nothing to compare. */
  readonly keyOf: (element: XmlElement) => string | undefined;
  readonly what: (key: string) => string;
  readonly remedy: string;
}

function refuseSecond(plan: Plan, elements: readonly XmlElement[], { keyOf, what, remedy }: Once): void {
  const seen = new Set<string>();
  for (const element of elements) {
    const key = keyOf(element);
    if (key === undefined) continue;
    if (seen.has(key))
      plan.refuse(element, 'DEVICE_TWICE', `<${element.local}>: ${what(key)}; libvirt refuses that`, remedy);
    seen.add(key);
  }
}
