import type { Bdf } from '../bdf.js';
import type { Log } from '../log/log.js';
import type { Inventory } from './inventory.js';
import type { Health } from './plugin-device.js';
import type { ResourceName } from './resource-name.js';

/** One log line for each device whose place or health changed: what, and why. */
export function reportChanges(before: Inventory, now: Inventory, log: Log): void {
  const old = standings(before);
  for (const [bdf, { resource, health }] of standings(now)) {
    const was = old.get(bdf);
    if (was?.resource !== resource) log.info('A device is advertised.', { device: bdf, resource });
    if (health.healthy) {
      if (was?.health.healthy === false) log.info('A device is healthy again.', { device: bdf, resource });
    } else if (was?.health.healthy !== false || was.health.reason !== health.reason) {
      log.warn('A device is unhealthy.', { device: bdf, resource, reason: health.reason });
    }
  }
  const reasons = new Map(before.notAdvertised.map(({ bdf, reason }) => [bdf, reason]));
  for (const { bdf, reason } of now.notAdvertised) {
    if (reasons.get(bdf) !== reason) log.debug('A device is not advertised.', { device: bdf, reason });
  }
}

interface Standing {
  readonly resource: ResourceName;
  readonly health: Health;
}

function standings({ resources }: Inventory): Map<Bdf, Standing> {
  const found = new Map<Bdf, Standing>();
  for (const [resource, devices] of resources) {
    for (const { bdf, health } of devices) found.set(bdf, { resource, health });
  }
  return found;
}
