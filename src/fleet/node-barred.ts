import type { NodeProfile } from '../cluster/node-profile.js';
import { notSelected } from '../kubevirt/node-selection.js';
import { type Requirement, unmet } from '../kubevirt/require.js';
import type { Vmi } from '../kubevirt/vmi.js';
import type { BaselineStatus } from './baseline-object.js';
import type { Labels } from './label-selector.js';
import { labelsOf } from './node-labels.js';

/** A node that a VMI might start on. */
export interface FleetHost {
  readonly profile: NodeProfile;
  /** Empty: they are not known, and nothing is held against them. */
  readonly labels: Labels;
  /** Extended resources that the kubelet has, by name; undefined: not known. */
  readonly capacity?: ReadonlyMap<string, number> | undefined;
}

/** Of a VMI in its baseline: where it may run, and why not elsewhere. */
export interface Membership {
  readonly name: string;
  readonly members: ReadonlySet<string>;
  readonly excluded: ReadonlyMap<string, string>;
}

export function membershipOf(
  name: string | undefined,
  status: BaselineStatus | undefined,
): Membership | undefined {
  if (name === undefined) return undefined;
  return {
    name,
    members: new Set(status?.members ?? []),
    excluded: new Map(status?.excluded.map(({ name: node, reason }) => [node, reason]) ?? []),
  };
}

/** What keeps the VM off the node before any device is looked at: what the webhook and the scheduler would say. */
export function barredFrom(
  { profile, labels }: FleetHost,
  vmi: Vmi,
  required: readonly Requirement[],
  baseline: Membership | undefined,
): string[] {
  const reasons: string[] = [];
  if (baseline !== undefined && !baseline.members.has(profile.node)) {
    const because = baseline.excluded.get(profile.node) ?? 'its nodeSelector does not select it';
    reasons.push(`it is no member of Baseline ${baseline.name}: ${because}`);
  }
  // The controller's labels follow from the profile, whether or not they are on the node yet.
  const ours = labelsOf(profile, baseline?.members.has(profile.node) === true ? [baseline.name] : [], false);
  const lacking = unmet(required, ours);
  if (lacking.length > 0) reasons.push(`it lacks what the VMI requires: ${lacking.join(', ')}`);
  const known = Object.keys(labels).length > 0;
  const selection = known
    ? notSelected(vmi, { name: profile.node, labels: { ...labels, ...ours } })
    : undefined;
  if (selection !== undefined) reasons.push(selection);
  return reasons;
}
