import { SET_ANNOTATION } from '../kubevirt/annotations.js';
import { type AskedByUser, askedByUser, wishesOfVmi } from '../kubevirt/set-annotation.js';
import { selectsResource } from '../kubevirt/vmi-create.js';
import type { Vmi } from '../kubevirt/vmi.js';
import { type Labels, mismatch } from './label-selector.js';
import {
  type OnUnresolved,
  type Policy,
  POLICY_PROPERTIES,
  type PolicyProperty,
  type PropertyChoice,
  type TopologyPolicy,
  type UnknownAts,
} from './policy.js';

/** What policies are matched against. */
export interface PolicySubject {
  readonly namespaceLabels: Labels;
  readonly vmiLabels: Labels;
  /** Resource names of the VMI's device requests. */
  readonly resources: readonly string[];
  /** The VMI's own wish: annotation `vsmmu.io/baseline`. */
  readonly baseline?: string | undefined;
  /** The VMI's own values: annotation `vsmmu.io/set`. */
  readonly set?: AskedByUser;
}

/** Labels of a VMI and of its namespace. */
export interface VmiLabels {
  readonly vmi: Labels;
  readonly namespace: Labels;
}

/** @throws VsmmuError WISH_MALFORMED where annotation vsmmu.io/set can't be read */
export function subjectOf(vmi: Vmi, labels: VmiLabels): PolicySubject {
  return {
    namespaceLabels: labels.namespace,
    vmiLabels: labels.vmi,
    resources: vmi.devices.flatMap(({ deviceName }) => deviceName ?? []),
    baseline: vmi.annotations?.[BASELINE_ANNOTATION],
    set: askedByUser(wishesOfVmi(vmi)),
  };
}

/** A value and who gave it: "Policy gpus", "annotation vsmmu.io/baseline", "default". */
export interface Chosen<T> {
  readonly value: T;
  readonly from: string;
}

export interface PolicyVerdict {
  readonly name: string;
  readonly applies: boolean;
  /** With a policy that does not apply: the selector that does not match. */
  readonly because: string;
}

export interface EffectivePolicy {
  /** Every policy: those that apply in order of rank, then the others by name. */
  readonly verdicts: readonly PolicyVerdict[];
  readonly baseline: Chosen<string | undefined>;
  readonly topology: Chosen<TopologyPolicy>;
  readonly onUnresolved: Chosen<OnUnresolved>;
  readonly unknownAts: Chosen<UnknownAts>;
  readonly properties: Readonly<Record<PolicyProperty, Chosen<PropertyChoice>>>;
}

export const BASELINE_ANNOTATION = 'vsmmu.io/baseline';
const DEFAULT = 'default';
const OWN = `annotation ${SET_ANNOTATION}`;

/**
 * What applies to a VMI. Policies rank by priority (higher first), then by how narrowly they select (devices before
 * VMIs before namespaces), then by name. Each field, and each property by itself, comes from the first policy that
 * sets it; what none sets has its default. What the VMI's own annotations say counts before all policies. The order in
 * which policies are handed in does not matter.
 */
export function effectivePolicy(policies: readonly Policy[], subject: PolicySubject): EffectivePolicy {
  const judged = policies.toSorted(byRank).map((policy) => ({ policy, because: whyNot(policy, subject) }));
  const applying = judged.flatMap(({ policy, because }) => (because === undefined ? [policy] : []));
  const others = judged.filter(({ because }) => because !== undefined);
  const first = <T>(of: (policy: Policy) => T | undefined, otherwise: T): Chosen<T> => {
    for (const policy of applying) {
      const value = of(policy);
      if (value !== undefined) return { value, from: `Policy ${policy.name}` };
    }
    return { value: otherwise, from: DEFAULT };
  };
  const baseline: Chosen<string | undefined> =
    subject.baseline === undefined
      ? first<string | undefined>((policy) => policy.baseline, undefined)
      : { value: subject.baseline, from: `annotation ${BASELINE_ANNOTATION}` };
  // A VMI that is bound to a baseline wants its values, unless a policy says otherwise of a property.
  const unset: PropertyChoice = baseline.value === undefined ? 'auto' : 'baseline';
  return {
    verdicts: [
      ...applying.map(({ name }) => ({ name, applies: true, because: 'every selector matches' })),
      ...others
        .map(({ policy, because = '' }) => ({ name: policy.name, applies: false, because }))
        .toSorted((a, b) => compareText(a.name, b.name)),
    ],
    baseline,
    topology: first<TopologyPolicy>((policy) => policy.topology, 'rewrite'),
    onUnresolved: first<OnUnresolved>((policy) => policy.onUnresolved, 'refuse'),
    unknownAts: first<UnknownAts>((policy) => policy.unknownAts, 'unknown'),
    properties: chooseProperties((property) => {
      const decided = first<PropertyChoice>((policy) => policy.properties[property], unset);
      const own = subject.set?.[property];
      return own === undefined ? decided : ownChoice(own, decided);
    }),
  };
}

/** The webhook writes what policies decide into the same annotation: a value that both give names both. */
function ownChoice(value: PropertyChoice, decided: Chosen<PropertyChoice>): Chosen<PropertyChoice> {
  const same = decided.value === value && decided.from !== DEFAULT;
  return { value, from: same ? `${OWN}, as ${decided.from}` : OWN };
}

function chooseProperties(
  choose: (property: PolicyProperty) => Chosen<PropertyChoice>,
): EffectivePolicy['properties'] {
  const [ats, ril, ssidsize, oas, cmdqv] = POLICY_PROPERTIES;
  return {
    [ats]: choose(ats),
    [ril]: choose(ril),
    [ssidsize]: choose(ssidsize),
    [oas]: choose(oas),
    [cmdqv]: choose(cmdqv),
  };
}

/** The rank: negative where `a` comes first. */
export function byRank(a: Policy, b: Policy): number {
  return b.priority - a.priority || narrowness(b) - narrowness(a) || compareText(a.name, b.name);
}

/** Devices say most about what is wanted, namespaces least. */
function narrowness({ resources, vmis, namespaces }: Policy): number {
  return (
    (resources === undefined ? 0 : 4) + (vmis === undefined ? 0 : 2) + (namespaces === undefined ? 0 : 1)
  );
}

/** By code unit: locale must not decide which policy wins. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function whyNot(policy: Policy, subject: PolicySubject): string | undefined {
  const namespace = policy.namespaces && mismatch(policy.namespaces, subject.namespaceLabels);
  if (namespace !== undefined) return `namespaceSelector: ${namespace}`;
  const vmi = policy.vmis && mismatch(policy.vmis, subject.vmiLabels);
  if (vmi !== undefined) return `vmiSelector: ${vmi}`;
  const { resources } = policy;
  if (resources === undefined || subject.resources.some((name) => selectsResource(resources, name)))
    return undefined;
  return `devices: the VMI asks for none of ${resources.join(', ')}`;
}
