import type { NodeProfile } from '../cluster/node-profile.js';
import type { BaselineObject, BaselineStatus } from './baseline-object.js';
import { HELD_UNDER, nextStatus } from './baseline-status.js';
import type { FleetVmi } from './bound-vmi.js';
import { sameStatus } from './conditions.js';
import { effectivePolicy } from './effective-policy.js';
import { featureChanges } from './feature-change.js';
import { type Labels, selects } from './label-selector.js';
import { labelPatch, labelsOf } from './node-labels.js';
import type { PolicyObject, PolicyStatus } from './policy-object.js';
import { nextPolicyStatus } from './policy-status.js';
import { isStale } from './summary.js';

/** The cluster at one moment, as far as the controller looks at it. */
export interface Snapshot {
  /** Labels by node. */
  readonly nodes: ReadonlyMap<string, Labels>;
  readonly profiles: readonly NodeProfile[];
  readonly baselines: readonly BaselineObject[];
  readonly policies: readonly PolicyObject[];
  readonly vmis: readonly FleetVmi[];
  readonly namespaces: ReadonlyMap<string, Labels>;
  /** Profiles at the last plan: what running VMs saw change. */
  readonly seen: ReadonlyMap<string, NodeProfile>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export type Action =
  | {
      readonly kind: 'label-node';
      readonly node: string;
      readonly patch: Readonly<Record<string, string | null>>;
    }
  | { readonly kind: 'write-baseline'; readonly object: BaselineObject; readonly status: BaselineStatus }
  | { readonly kind: 'write-policy'; readonly object: PolicyObject; readonly status: PolicyStatus }
  | { readonly kind: 'delete-profile'; readonly node: string; readonly uid: string | undefined }
  | {
      readonly kind: 'event';
      readonly regarding: {
        readonly kind: 'Node' | 'Baseline';
        readonly name: string;
        readonly uid?: string;
      };
      readonly reason: string;
      readonly note: string;
    };

/** All that must be done for the cluster to be as it should. Nothing is left to do after it was done. */
export function planFleet(snapshot: Snapshot): Action[] {
  const bound = boundVmis(snapshot);
  const written = snapshot.baselines.map((object) => ({
    object,
    status: nextStatus(object, inputsOf(object, snapshot, bound.get(object.name) ?? [])),
  }));
  return [
    ...written.flatMap(({ object, status }) => writeBaseline(object, status)),
    ...labelNodes(
      snapshot,
      written.map(({ object, status }) => ({ name: object.name, members: new Set(status.members) })),
    ),
    ...writePolicies(snapshot, new Map(written.map(({ object, status }) => [object.name, status]))),
    ...deleteVanished(snapshot),
    ...tellChanges(snapshot),
  ];
}

/** Running VMIs by the baseline that their policies bind them to. */
function boundVmis({ policies, vmis, namespaces }: Snapshot): Map<string, string[]> {
  const bound = new Map<string, string[]>();
  for (const vmi of vmis) {
    if (vmi.node === undefined) continue;
    const { baseline } = effectivePolicy(policies, {
      namespaceLabels: namespaces.get(vmi.namespace) ?? {},
      vmiLabels: vmi.labels,
      resources: vmi.resources,
      baseline: vmi.baseline,
    });
    if (baseline.value === undefined) continue;
    const keys = bound.get(baseline.value);
    if (keys === undefined) bound.set(baseline.value, [vmi.key]);
    else keys.push(vmi.key);
  }
  for (const keys of bound.values()) keys.sort();
  return bound;
}

function inputsOf(object: BaselineObject, snapshot: Snapshot, bound: readonly string[]) {
  const selected = new Set(
    [...snapshot.nodes].flatMap(([name, labels]) => (selects(object.nodes, labels) ? [name] : [])),
  );
  const profiles = snapshot.profiles.filter(({ node }) => selected.has(node));
  for (const { node } of profiles) selected.delete(node);
  return { profiles, silent: [...selected], bound, now: new Date(snapshot.now).toISOString() };
}

function writeBaseline(object: BaselineObject, status: BaselineStatus): Action[] {
  if (sameStatus(object.status, status)) return [];
  const actions: Action[] = [{ kind: 'write-baseline', object, status }];
  const held = heldFor(status);
  // Told when it begins and when other values are held; not with each VM that comes and goes meanwhile.
  if (held !== undefined && heldFor(object.status) !== held)
    actions.push({
      kind: 'event',
      regarding: {
        kind: 'Baseline',
        name: object.name,
        ...(object.uid === undefined ? {} : { uid: object.uid }),
      },
      reason: 'HeldBack',
      note: status.conditions.find(({ type }) => type === 'HeldBack')?.message ?? held,
    });
  return actions;
}

/** "ssidsize 20 -> 16" of a baseline that is held back; undefined of any other. */
function heldFor({ conditions }: BaselineStatus): string | undefined {
  const condition = conditions.find(({ type, status }) => type === 'HeldBack' && status === 'True');
  return condition?.message.split(HELD_UNDER, 1)[0];
}

function writePolicies(
  { policies, now }: Snapshot,
  baselines: ReadonlyMap<string, BaselineStatus>,
): Action[] {
  return policies.flatMap((object): Action[] => {
    const status = nextPolicyStatus(object, baselines, new Date(now).toISOString());
    return sameStatus(object.status, status) ? [] : [{ kind: 'write-policy', object, status }];
  });
}

interface Membership {
  readonly name: string;
  readonly members: ReadonlySet<string>;
}

function labelNodes({ nodes, profiles, now }: Snapshot, baselines: readonly Membership[]): Action[] {
  const byNode = new Map(profiles.map((profile) => [profile.node, profile]));
  return [...nodes].flatMap(([node, labels]): Action[] => {
    const profile = byNode.get(node);
    const memberOf = baselines.filter(({ members }) => members.has(node)).map(({ name }) => name);
    const wanted = profile === undefined ? {} : labelsOf(profile, memberOf, isStale({ profile }, now));
    const patch = labelPatch(labels, wanted);
    return patch === undefined ? [] : [{ kind: 'label-node', node, patch }];
  });
}

/** A profile outlives its node only by mistake; its agent is gone with the node. */
function deleteVanished({ nodes, profiles }: Snapshot): Action[] {
  return profiles
    .filter(({ node }) => !nodes.has(node))
    .map(({ node, uid }) => ({ kind: 'delete-profile', node, uid }));
}

function tellChanges({ profiles, seen, vmis }: Snapshot): Action[] {
  return profiles.flatMap((profile): Action[] => {
    const before = seen.get(profile.node);
    if (before === undefined || before === profile) return [];
    const changes = featureChanges(before, profile);
    const running = vmis.filter(({ node }) => node === profile.node).map(({ key }) => key);
    if (changes.length === 0 || running.length === 0) return [];
    const note = `${changes.join(', ')} under running ${running.toSorted().slice(0, 10).join(', ')}`;
    return [
      { kind: 'event', regarding: { kind: 'Node', name: profile.node }, reason: 'FeaturesChanged', note },
    ];
  });
}
