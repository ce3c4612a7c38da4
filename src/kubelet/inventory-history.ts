import { compareBdf, type Bdf } from '../bdf.js';
import type { Inventory } from './inventory.js';
import { unhealthy, type PluginDevice } from './plugin-device.js';
import type { ResourceName } from './resource-name.js';

/**
 * The new inventory, with devices that were advertised and are not found any more as unhealthy in their resource: a
 * pod may still have them, and a capacity that shrinks says less than one that is not allocatable, with a reason.
 */
export function keepVanished(before: Inventory, now: Inventory): Inventory {
  const found = new Set([...now.resources.values()].flatMap((devices) => devices.map(({ bdf }) => bdf)));
  const reasons = new Map<Bdf, string>(now.notAdvertised.map(({ bdf, reason }) => [bdf, reason]));
  const resources = new Map<ResourceName, readonly PluginDevice[]>(now.resources);
  for (const [resource, devices] of before.resources) {
    const vanished = devices
      .filter(({ bdf }) => !found.has(bdf))
      .map((device) => ({
        ...device,
        health: unhealthy(reasons.get(device.bdf) ?? 'it is gone from the host'),
      }));
    const all = [...(now.resources.get(resource) ?? []), ...vanished];
    if (all.length > 0)
      resources.set(
        resource,
        all.sort((a, b) => compareBdf(a.bdf, b.bdf)),
      );
  }
  return { ...now, resources };
}
