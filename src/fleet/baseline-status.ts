import { baselineHostOf } from './profile-host.js';
import type { BaselineCondition, BaselineObject, BaselineStatus } from './baseline-object.js';
import { type KeptBaseline, keepBaseline } from './keep-baseline.js';
import { publishedStatus } from './published-status.js';
import type { NodeProfile } from '../cluster/node-profile.js';

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
    ...status,
    excluded: [...status.excluded, ...silent].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    conditions: conditions(object, kept, inputs.now),
  };
}

type NewCondition = Pick<BaselineCondition, 'type' | 'status' | 'reason' | 'message'>;

function conditions(object: BaselineObject, kept: KeptBaseline, now: string): BaselineCondition[] {
  return [readyCondition(kept), heldBackCondition(kept)].map((next) => {
    const before = object.status.conditions.find(({ type }) => type === next.type);
    return {
      ...next,
      lastTransitionTime: before?.status === next.status ? before.lastTransitionTime : now,
      ...(object.generation === undefined ? {} : { observedGeneration: object.generation }),
    };
  });
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
    message: `${lowered.join(', ')} would change under ${by.slice(0, NAMED).join(', ')}${more}`,
  };
}

/** Everything but times: a status is written only when it says something else. */
export function sameStatus(a: BaselineStatus, b: BaselineStatus): boolean {
  return canonical(a) === canonical(b);
}

function canonical(status: BaselineStatus): string {
  const conditions = status.conditions.map((condition) => ({ ...condition, lastTransitionTime: '' }));
  return JSON.stringify(sorted({ ...status, conditions }));
}

/** Key order is the writer's; two equal statuses may differ in it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}
