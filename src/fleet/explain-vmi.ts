import type { NodeProfile } from '../cluster/node-profile.js';
import { asksForVsmmu, type ResourceSelection, selectsResource } from '../kubevirt/vmi-create.js';
import type { Vmi } from '../kubevirt/vmi.js';
import { askedByPolicy } from './asked-vsmmu.js';
import type { BaselineStatus } from './baseline-object.js';
import { BASELINE_ANNOTATION, type EffectivePolicy, effectivePolicy } from './effective-policy.js';
import type { Labels } from './label-selector.js';
import { fitNode, type NodeFit } from './node-fit.js';
import type { Policy } from './policy.js';

/** All that is known of the fleet, from a cluster or from files. */
export interface Fleet {
  readonly profiles: readonly NodeProfile[];
  readonly policies: readonly Policy[];
  readonly baselines: ReadonlyMap<string, BaselineStatus>;
  /** Which extended resources are vsmmu's. */
  readonly resources: ResourceSelection;
}

export interface VmiLabels {
  readonly vmi: Labels;
  readonly namespace: Labels;
}

export interface VmiExplanation {
  readonly vmi: string;
  /** Would vsmmu touch it at all, and why (not). */
  readonly touched: { readonly value: boolean; readonly because: string };
  readonly policy: EffectivePolicy;
  /** Why its properties can't be told; undefined where they can. */
  readonly unresolved: { readonly message: string; readonly remedy: string } | undefined;
  /** Node by node, by name; empty where it isn't touched. */
  readonly nodes: readonly NodeFit[];
}

/** Would this VMI be touched, by which policy, on which nodes could it start, and what does each property become? */
export function explainVmi(vmi: Vmi, labels: VmiLabels, fleet: Fleet): VmiExplanation {
  const asked = vmi.devices.flatMap(({ deviceName }) => deviceName ?? []);
  const policy = effectivePolicy(fleet.policies, {
    namespaceLabels: labels.namespace,
    vmiLabels: labels.vmi,
    resources: asked,
    baseline: vmi.annotations?.[BASELINE_ANNOTATION],
  });
  const touched = isTouched(vmi, policy, fleet.resources);
  const name = vmi.namespace === '' ? vmi.name : `${vmi.namespace}/${vmi.name}`;
  const status = policy.baseline.value === undefined ? undefined : fleet.baselines.get(policy.baseline.value);
  const wanted = askedByPolicy(policy, status);
  if (!wanted.ok) return { vmi: name, touched, policy, unresolved: wanted, nodes: [] };
  const wish = {
    resources: asked.filter((resource) => selectsResource(fleet.resources, resource)),
    asked: wanted.asked,
    baseline: membership(policy.baseline.value, status),
  };
  const nodes = touched.value
    ? fleet.profiles.map((profile) => fitNode(profile, wish)).toSorted((a, b) => (a.node < b.node ? -1 : 1))
    : [];
  return { vmi: name, touched, policy, unresolved: undefined, nodes };
}

function isTouched(
  vmi: Vmi,
  policy: EffectivePolicy,
  resources: ResourceSelection,
): VmiExplanation['touched'] {
  if (policy.topology.value === 'off')
    return { value: false, because: `topology is off (${policy.topology.from})` };
  if (!asksForVsmmu(vmi, resources))
    return { value: false, because: `it asks for no device of ${resources.join(', ')}` };
  const ours = vmi.devices.flatMap(({ deviceName }) =>
    deviceName !== undefined && selectsResource(resources, deviceName) ? [deviceName] : [],
  );
  return {
    value: true,
    because: ours.length === 0 ? 'it states requirements' : `it asks for ${ours.join(', ')}`,
  };
}

function membership(name: string | undefined, status: BaselineStatus | undefined) {
  if (name === undefined) return undefined;
  return {
    name,
    members: new Set(status?.members ?? []),
    excluded: new Map(status?.excluded.map(({ name: node, reason }) => [node, reason]) ?? []),
  };
}
