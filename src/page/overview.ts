import type { NodeProfile } from '../cluster/node-profile.js';
import type { BaselineObject } from '../fleet/baseline-object.js';
import type { FleetVmi } from '../fleet/bound-vmi.js';
import { POLICY_PROPERTIES } from '../fleet/policy.js';
import { baselineHostOf } from '../fleet/profile-host.js';
import { isStale } from '../fleet/summary.js';
import { baselineOf, type BaselineVsmmu } from '../smmu/baseline.js';
import type { PageBaseline, PageFleet, PageNode, PageValues } from './page-fleet.js';

export interface OverviewInputs {
  readonly profiles: Iterable<NodeProfile>;
  readonly baselines: Iterable<BaselineObject>;
  readonly vmis: Iterable<FleetVmi>;
  readonly policies: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Equal inputs give equal JSON, so that a browser is told "not modified". */
export function overviewOf(inputs: OverviewInputs): PageFleet {
  const baselines = [...inputs.baselines].toSorted(byName);
  const memberOf = new Map<string, string[]>();
  for (const { name, status } of baselines)
    for (const member of status.members) memberOf.set(member, [...(memberOf.get(member) ?? []), name]);
  const vms = new Map<string, number>();
  for (const { node } of inputs.vmis) if (node !== undefined) vms.set(node, (vms.get(node) ?? 0) + 1);
  return {
    nodes: [...inputs.profiles]
      .map((profile) => ({
        ...pageNode(profile),
        stale: isStale({ profile }, inputs.now),
        baselines: memberOf.get(profile.node) ?? [],
        vms: vms.get(profile.node) ?? 0,
      }))
      .toSorted(byName),
    baselines: baselines.map(pageBaseline),
    policies: inputs.policies,
  };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function pageNode(profile: NodeProfile): Omit<PageNode, 'stale' | 'baselines' | 'vms'> {
  const { vsmmu, excluded } = baselineOf([baselineHostOf(profile)]);
  const devices = [...profile.devices.values()];
  return {
    name: profile.node,
    values: vsmmu && valuesOf(vsmmu),
    because: excluded[0]?.reason ?? '',
    smmus: new Set([...profile.features.devices.values()].map(({ smmu }) => smmu)).size,
    ats: devices.map(({ ats }) => ats),
    ready: devices.filter(({ ready }) => ready).length,
  };
}

function valuesOf({ ats, ril, ssidsize, oas, cmdqv }: BaselineVsmmu): PageValues {
  return { ats: ats.value, ril: ril.value, ssidsize: ssidsize.value, oas: oas.value, cmdqv: cmdqv.value };
}

function pageBaseline({ name, status }: BaselineObject): PageBaseline {
  const { vsmmu, members, excluded, leavingOut, conditions } = status;
  const held = conditions.find(({ type, status: is }) => type === 'HeldBack' && is === 'True');
  return {
    name,
    limits:
      vsmmu === undefined ? [] : POLICY_PROPERTIES.map((property) => ({ property, ...vsmmu[property] })),
    members: members.length,
    excluded,
    leavingOut,
    heldBack: held?.message ?? '',
  };
}
