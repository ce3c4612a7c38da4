import type { Bdf } from '../bdf.js';
import type { Log } from '../log/log.js';
import type { Inventory, NotAdvertised } from './inventory.js';
import type { Health } from './plugin-device.js';
import type { ResourceName } from './resource-name.js';

/** What became of one device between two looks at the host. */
export type Change =
  | { readonly kind: 'advertised' | 'healthy'; readonly device: Bdf; readonly resource: ResourceName }
  | {
      readonly kind: 'unhealthy';
      readonly device: Bdf;
      readonly resource: ResourceName;
      readonly reason: string;
    }
  | ({ readonly kind: 'not-advertised'; readonly device: Bdf } & Omit<NotAdvertised, 'bdf'>);

/** Every device whose place, health or reason changed. */
export function changesBetween(before: Inventory, now: Inventory): Change[] {
  const old = standings(before);
  const changes: Change[] = [];
  for (const [device, { resource, health }] of standings(now)) {
    const was = old.get(device);
    if (was?.resource !== resource) changes.push({ kind: 'advertised', device, resource });
    if (health.healthy) {
      if (was?.health.healthy === false) changes.push({ kind: 'healthy', device, resource });
    } else if (was?.health.healthy !== false || was.health.reason !== health.reason) {
      changes.push({ kind: 'unhealthy', device, resource, reason: health.reason });
    }
  }
  const reasons = new Map(before.notAdvertised.map(({ bdf, reason }) => [bdf, reason]));
  for (const { bdf: device, ...why } of now.notAdvertised) {
    if (reasons.get(device) !== why.reason) changes.push({ kind: 'not-advertised', device, ...why });
  }
  return changes;
}

/** One line a change: which device, and why; one for all devices that a resource has no room for, as they are many. */
export function logChanges(changes: readonly Change[], log: Log): void {
  const leftOut = new Map<string, number>();
  for (const change of changes) {
    if (change.kind === 'not-advertised' && change.fault === 'room')
      leftOut.set(change.reason, (leftOut.get(change.reason) ?? 0) + 1);
    else logChange(change, log);
  }
  for (const [reason, count] of leftOut) log.warn('Devices are not advertised.', { count, reason });
}

function logChange(change: Change, log: Log): void {
  const { kind, ...fields } = change;
  switch (kind) {
    case 'advertised':
      log.info('A device is advertised.', fields);
      break;
    case 'healthy':
      log.info('A device is healthy again.', fields);
      break;
    case 'unhealthy':
      log.warn('A device is unhealthy.', fields);
      break;
    case 'not-advertised':
      if (change.fault === undefined) log.debug('A device is not advertised.', fields);
      else log.warn('A device is not advertised.', fields);
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
