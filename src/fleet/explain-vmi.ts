import { REQUIRE_ANNOTATION } from '../kubevirt/annotations.js';
import { parseRequire } from '../kubevirt/require.js';
import { wishesOfVmi } from '../kubevirt/set-annotation.js';
import { asksForVsmmu, type ResourceSelection, selectsResource } from '../kubevirt/vmi-create.js';
import type { Vmi } from '../kubevirt/vmi.js';
import { fleetAts } from '../smmu/ats.js';
import { askedByPolicy, modelAts } from './asked-vsmmu.js';
import type { BaselineStatus } from './baseline-object.js';
import { type EffectivePolicy, effectivePolicy, subjectOf, type VmiLabels } from './effective-policy.js';
import { fitNode, type NodeFit, type NodeWish } from './node-fit.js';
import { barredFrom, type FleetHost, membershipOf } from './node-barred.js';
import type { Policy } from './policy.js';

/** All that is known of the fleet, from a cluster or from files. */
export interface Fleet {
  readonly nodes: readonly FleetHost[];
  readonly policies: readonly Policy[];
  readonly baselines: ReadonlyMap<string, BaselineStatus>;
  /** Which extended resources are vsmmu's. */
  readonly resources: ResourceSelection;
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

/**
 * Would this VMI be touched, by which policy, on which nodes could it start, and what does each property become?
 *
 * @throws VsmmuError WISH_MALFORMED, REQUIRE_MALFORMED where an annotation of the VMI can't be read
 */
export function explainVmi(vmi: Vmi, labels: VmiLabels, fleet: Fleet): VmiExplanation {
  const subject = subjectOf(vmi, labels);
  const policy = effectivePolicy(fleet.policies, subject);
  const touched = isTouched(vmi, policy, fleet.resources);
  const name = vmi.namespace === '' ? vmi.name : `${vmi.namespace}/${vmi.name}`;
  const status = policy.baseline.value === undefined ? undefined : fleet.baselines.get(policy.baseline.value);
  const wanted = askedByPolicy(policy, status);
  if (!wanted.ok) return { vmi: name, touched, policy, unresolved: wanted, nodes: [] };
  const { atsOf, deviceAts } = wishesOfVmi(vmi);
  const ofBaseline = new Map(modelAts(policy, status));
  const usable = wanted.asked.ats !== 'off';
  const wish: NodeWish = {
    resources: subject.resources.filter((resource) => selectsResource(fleet.resources, resource)),
    asked: wanted.asked,
    deviceAts: ({ bdf, model = '' }) =>
      atsOf.get(bdf) ?? deviceAts ?? fleetAts(ofBaseline.get(model), usable),
    unknownAts: policy.unknownAts.value,
  };
  const required = parseRequire(vmi.annotations?.[REQUIRE_ANNOTATION] ?? '');
  const fit = (host: FleetHost) => {
    const barred = barredFrom(host, vmi, required, membershipOf(policy.baseline.value, status));
    return fitNode(host.profile, wish, { barred, capacity: host.capacity });
  };
  const nodes = touched.value ? fleet.nodes.map(fit).toSorted((a, b) => (a.node < b.node ? -1 : 1)) : [];
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
