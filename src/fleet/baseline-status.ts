import type { ProfileDevice } from '../cluster/node-profile-schema.js';
import { baselineHostOf } from './profile-host.js';
import { isStale } from './summary.js';
import type { BaselineObject, BaselineStatus, BaselineTotals } from './baseline-object.js';
import { type Condition, type NewCondition, settled } from './conditions.js';
import { type KeptBaseline, keepBaseline } from './keep-baseline.js';
import { publishedStatus } from './published-status.js';
import type { NodeProfile } from '../cluster/node-profile.js';

/** Between what is held and the VMs that hold it, in the condition's message. */
export const HELD_UNDER = ' would change under ';

/** Names in a message: enough to act on, few enough to read. */
const NAMED = 10;

export interface BaselineInputs {
  /** Profiles of the selected nodes. */
  readonly profiles: readonly NodeProfile[];
  /** Selected nodes without a profile. */
  readonly silent: readonly string[];
  /** "namespace/name" of running VMIs that are bound to it. */
  readonly bound: readonly string[];
  /** ISO 8601, for conditions that change. */
  readonly now: string;
}

/** What the status should be. A condition that stays as it was keeps its time. */
export function nextStatus(object: BaselineObject, inputs: BaselineInputs): BaselineStatus {
  const kept = keepBaseline(inputs.profiles.map(baselineHostOf), {
    published: object.status.vsmmu,
    bound: inputs.bound,
    holdBack: object.holdBack,
  });
  const status = publishedStatus(kept);
  const silent = inputs.silent.map((name) => ({
    name,
    reason: 'it has no NodeProfile: no agent reports it',
  }));
  return {
    ...(object.generation === undefined ? {} : { observedGeneration: object.generation }),
    summary: totalsOf(inputs, status.members),
    ...status,
    excluded: [...status.excluded, ...silent].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    conditions: conditions(object, kept, inputs.now),
  };
}

function conditions(object: BaselineObject, kept: KeptBaseline, now: string): Condition[] {
  const next = [readyCondition(kept), heldBackCondition(kept)];
  return settled(next, object.status.conditions, { now, generation: object.generation });
}

function totalsOf({ profiles, silent, now }: BaselineInputs, members: readonly string[]): BaselineTotals {
  const devices = profiles.flatMap((profile) => [...profile.devices.values()]);
  const having = (holds: (device: ProfileDevice) => boolean) => devices.filter(holds).length;
  const isMember = new Set(members);
  const at = Date.parse(now);
  return {
    nodes: profiles.length + silent.length,
    members: members.length,
    stale: profiles.filter((profile) => isMember.has(profile.node) && isStale({ profile }, at)).length,
    devices: devices.length,
    ready: having(({ ready }) => ready),
    ats: having(({ ats }) => ats === 'yes'),
    atsUnknown: having(({ ats }) => ats === 'unknown'),
    pasid: having(({ pasidBits = 0 }) => pasidBits > 0),
  };
}

function readyCondition({ baseline }: KeptBaseline): NewCondition {
  const { members, excluded } = baseline;
  return members.length === 0
    ? { type: 'Ready', status: 'False', reason: 'NoMembers', message: 'no selected node can take part' }
    : {
        type: 'Ready',
        status: 'True',
        reason: 'Kept',
        message: `${members.length} members, ${excluded.length} left out`,
      };
}

function heldBackCondition({ heldBack }: KeptBaseline): NewCondition {
  if (heldBack === undefined)
    return { type: 'HeldBack', status: 'False', reason: 'AsComputed', message: 'the values are as computed' };
  const { lowered, by } = heldBack;
  const more = by.length > NAMED ? ` and ${by.length - NAMED} more` : '';
  return {
    type: 'HeldBack',
    status: 'True',
    reason: 'RunningVMs',
    message: `${lowered.join(', ')}${HELD_UNDER}${by.slice(0, NAMED).join(', ')}${more}`,
  };
}
