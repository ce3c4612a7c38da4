import type { ToldEvent } from '../cluster/event-recorder.js';
import type { Change } from './changes.js';

/** Devices named in one note; the log has all. */
const NAMED_MAX = 8;

/** One event for what became of devices alike: a node with 64 devices that starts tells one thing, not 64. */
export function eventsOf(changes: readonly Change[]): ToldEvent[] {
  const kinds = new Map<string, Change[]>();
  for (const change of changes) {
    if (change.kind === 'not-advertised' && change.fault === undefined) continue;
    const key = `${change.kind} ${'resource' in change ? change.resource : ''}`;
    const alike = kinds.get(key);
    if (alike === undefined) kinds.set(key, [change]);
    else alike.push(change);
  }
  return [...kinds.values()].flatMap((alike) => eventOf(alike));
}

export function configurationEvent(taken: boolean, reason: string | undefined): ToldEvent {
  return taken
    ? {
        type: 'Normal',
        reason: 'ConfigurationTaken',
        action: 'Configure',
        note: 'The new configuration is in force.',
      }
    : {
        type: 'Warning',
        reason: 'ConfigurationRefused',
        action: 'Configure',
        note: `The new configuration is refused, the former stays in force: ${reason ?? 'see the log'}`,
      };
}

interface Told extends Omit<ToldEvent, 'note'> {
  readonly note: (count: string, resource: string, list: string) => string;
}

const EVENT_OF: Readonly<Record<Change['kind'], Told>> = {
  advertised: {
    type: 'Normal',
    reason: 'DevicesAdvertised',
    action: 'Advertise',
    note: (count, resource, list) => `${count} as ${resource}: ${list}`,
  },
  healthy: {
    type: 'Normal',
    reason: 'DevicesHealthy',
    action: 'Check',
    note: (count, resource, list) => `${count} of ${resource} healthy again: ${list}`,
  },
  unhealthy: {
    type: 'Warning',
    reason: 'DevicesUnhealthy',
    action: 'Check',
    note: (count, resource, list) => `${count} of ${resource}: ${list}`,
  },
  'not-advertised': {
    type: 'Warning',
    reason: 'DevicesNotAdvertised',
    action: 'Advertise',
    note: (count, _, list) => `${count} left out: ${list}`,
  },
};

/** @param alike at least one, of one kind and resource */
function eventOf(alike: readonly Change[]): ToldEvent[] {
  const [first] = alike;
  if (first === undefined) return [];
  const { note, ...event } = EVENT_OF[first.kind];
  const resource = 'resource' in first ? first.resource : '';
  return [{ ...event, note: note(count(alike), resource, listed(alike.map((change) => named(change)))) }];
}

function count({ length }: readonly Change[]): string {
  return length === 1 ? '1 device' : `${length} devices`;
}

function named(change: Change): string {
  if (!('reason' in change)) return change.device;
  return change.reason.includes(change.device) ? change.reason : `${change.device}: ${change.reason}`;
}

function listed(parts: readonly string[]): string {
  const more = parts.length - NAMED_MAX;
  const first = parts.slice(0, NAMED_MAX).join('; ');
  return more > 0 ? `${first}; and ${more} more` : first;
}
