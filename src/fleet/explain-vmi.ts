import { REQUIRE_ANNOTATION } from '../kubevirt/annotations.js';
import { asksByClaim, type ClaimedDevices } from '../kubevirt/claimed-devices.js';
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
  readonly touched: { readonly value: boolean | 'unknown'; readonly because: string };
  readonly policy: EffectivePolicy;
  /** Why its properties can't be told; undefined where they can. */
  readonly unresolved: { readonly message: string; readonly remedy: string } | undefined;
  /** Node by node, by name; empty where it isn't touched. */
  readonly nodes: readonly NodeFit[];
}

/**
 * Would this VMI be touched, by which policy, on which nodes could it start, and what does each property become?
 *
 * @param claimed whose devices its ResourceClaims ask for; undefined: nobody looked
 * @throws VsmmuError WISH_MALFORMED, REQUIRE_MALFORMED where an annotation of the VMI can't be read
 */
export function explainVmi(
  vmi: Vmi,
  labels: VmiLabels,
  fleet: Fleet,
  claimed?: ClaimedDevices,
): VmiExplanation {
  const subject = subjectOf(vmi, labels);
  const policy = effectivePolicy(fleet.policies, subject);
  const touched = isTouched(vmi, policy, fleet.resources, claimed);
  const name = vmi.namespace === '' ? vmi.name : `${vmi.namespace}/${vmi.name}`;
  const status = policy.baseline.value === undefined ? undefined : fleet.baselines.get(policy.baseline.value);
  const wanted = askedByPolicy(policy, status);
  if (!wanted.ok) return { vmi: name, touched, policy, unresolved: wanted, nodes: [] };
  const { atsOf, deviceAts } = wishesOfVmi(vmi);
  const ofBaseline = new Map(modelAts(policy, status));
  const usable = wanted.asked.ats !== 'off';
  const wish: NodeWish = {
    resources: subject.resources.filter((resource) => selectsResource(fleet.resources, resource)),
    anyDevice: mayGetAny(vmi, claimed),
    asked: wanted.asked,
    deviceAts: ({ bdf, model = '' }) =>
      atsOf.get(bdf) ?? deviceAts ?? fleetAts(ofBaseline.get(model), usable),
    unknownAts: policy.unknownAts.value,
  };
  const required = parseRequire(vmi.annotations?.[REQUIRE_ANNOTATION] ?? '');
  const given = claimed?.given ?? [];
  const fit = ({ profile, labels: nodeLabels, capacity }: FleetHost) => {
    const here = given.filter(({ node }) => node === profile.node).map(({ bdf }) => bdf);
    const elsewhere = given.find(({ node }) => node !== profile.node);
    const barred = barredFrom(
      { profile, labels: nodeLabels },
      vmi,
      required,
      membershipOf(policy.baseline.value, status),
    );
    if (elsewhere !== undefined)
      barred.push(`a ResourceClaim was given ${elsewhere.bdf} of node ${elsewhere.node}`);
    return fitNode(profile, { ...wish, given: here }, { barred, capacity });
  };
  const nodes =
    touched.value === true ? fleet.nodes.map(fit).toSorted((a, b) => (a.node < b.node ? -1 : 1)) : [];
  return { vmi: name, touched, policy, unresolved: undefined, nodes };
}

/** What its claims are is not known where nobody looked, nor is it sure where some of them are not there yet. */
function mayGetAny(vmi: Vmi, claimed: ClaimedDevices | undefined): boolean {
  if (!asksByClaim(vmi)) return false;
  if (claimed === undefined) return true;
  return claimed.given === undefined && (claimed.ours || claimed.unknown.length > 0);
}

function isTouched(
  vmi: Vmi,
  policy: EffectivePolicy,
  resources: ResourceSelection,
  claimed: ClaimedDevices | undefined,
): VmiExplanation['touched'] {
  if (policy.topology.value === 'off')
    return { value: false, because: `topology is off (${policy.topology.from})` };
  if (!asksForVsmmu(vmi, resources)) return byClaims(vmi, resources, claimed);
  const ours = vmi.devices.flatMap(({ deviceName }) =>
    deviceName !== undefined && selectsResource(resources, deviceName) ? [deviceName] : [],
  );
  return {
    value: true,
    because: ours.length === 0 ? 'it states requirements' : `it asks for ${ours.join(', ')}`,
  };
}

/** Half a sentence, before "because". */
export function servedText({ value }: VmiExplanation['touched']): string {
  if (value === 'unknown') return 'whether vsmmu serves it is unknown';
  return value ? 'vsmmu serves it' : 'vsmmu leaves it alone';
}

/** Does a VMI that names none of our resources get our devices by its ResourceClaims? */
function byClaims(
  vmi: Vmi,
  resources: ResourceSelection,
  claimed: ClaimedDevices | undefined,
): VmiExplanation['touched'] {
  const none = `it asks for no device of ${resources.join(', ')}`;
  if (!asksByClaim(vmi)) return { value: false, because: none };
  if (claimed === undefined) return { value: 'unknown', because: 'nobody looked at its ResourceClaims' };
  if (claimed.ours) return { value: true, because: 'its ResourceClaims ask for devices of vsmmu.io' };
  if (claimed.unknown.length > 0)
    return { value: 'unknown', because: `${claimed.unknown.join(', ')} cannot be found` };
  return { value: false, because: `${none}, nor do its ResourceClaims` };
}
