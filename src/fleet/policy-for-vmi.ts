import { VsmmuError } from '../errors.js';
import { SET_ANNOTATION } from '../kubevirt/annotations.js';
import { renderBaselineDevices } from '../kubevirt/baseline-devices.js';
import type { Requirement } from '../kubevirt/require.js';
import type { Vmi } from '../kubevirt/vmi.js';
import { askedByPolicy, modelAts } from './asked-vsmmu.js';
import { type BaselineStatus, memberLabel } from './baseline-object.js';
import { BASELINE_ANNOTATION, effectivePolicy, subjectOf } from './effective-policy.js';
import type { Labels } from './label-selector.js';
import { type Policy, POLICY_PROPERTIES } from './policy.js';

/** What policies make of a VMI when it is created. */
export interface PolicyForVmi {
  /** false: it is left alone, without a hook. */
  readonly serve: boolean;
  /** Value of annotation vsmmu.io/set; undefined: none is needed. */
  readonly set: string | undefined;
  /** Value of annotation vsmmu.io/baseline-devices; undefined: it has none. */
  readonly baselineDevices: string | undefined;
  /** What its nodes must have: membership in its baseline. */
  readonly requirements: readonly Requirement[];
  /** Arguments of its hook beside those of all hooks. */
  readonly hookArgs: readonly string[];
}

export interface PolicyInputs {
  readonly policies: readonly Policy[];
  readonly vmiLabels: Labels;
  readonly namespaceLabels: Labels;
  /** undefined: there is no Baseline of that name. */
  readonly baseline: (name: string) => Pick<BaselineStatus, 'vsmmu' | 'devices'> | undefined;
}

/**
 * The policies' values become the VMI's own explicit ones, behind those that its user set: these win. Applied to its
 * own outcome it changes nothing.
 *
 * @throws VsmmuError POLICY_UNRESOLVED where a baseline is wanted that has no values, and that is to be refused;
 *   WISH_MALFORMED where annotation vsmmu.io/set can't be read
 */
export function policyForVmi(vmi: Vmi, inputs: PolicyInputs): PolicyForVmi {
  const annotations = vmi.annotations ?? {};
  const labels = { vmi: inputs.vmiLabels, namespace: inputs.namespaceLabels };
  const subject = subjectOf(vmi, labels);
  const policy = effectivePolicy(inputs.policies, subject);
  const leftAlone = {
    serve: false,
    set: undefined,
    baselineDevices: undefined,
    requirements: [],
    hookArgs: [],
  };
  if (policy.topology.value === 'off') return leftAlone;
  const { value: bound, from } = policy.baseline;
  const baseline = bound === undefined ? undefined : inputs.baseline(bound);
  const wanted = askedByPolicy(policy, baseline);
  if (!wanted.ok) {
    if (policy.onUnresolved.value === 'leave') return leftAlone;
    throw new VsmmuError('POLICY_UNRESOLVED', `${wanted.message} (${from})`, {
      place: `metadata.annotations[${BASELINE_ANNOTATION}]`,
      remedy: wanted.remedy,
    });
  }
  const own = annotations[SET_ANNOTATION] ?? '';
  const added = POLICY_PROPERTIES.flatMap((property) => {
    const value = wanted.asked[property];
    return value === 'auto' || subject.set?.[property] !== undefined ? [] : [`${property}=${value}`];
  });
  const set = [own, ...added].filter((term) => term.trim() !== '').join(',');
  return {
    serve: true,
    set: set === '' ? undefined : set,
    baselineDevices: renderBaselineDevices(modelAts(policy, baseline)),
    requirements: bound === undefined ? [] : [memberOf(bound)],
    hookArgs: [
      ...(policy.topology.value === 'complete' ? ['--topology=complete'] : []),
      ...(policy.onUnresolved.value === 'leave' ? ['--unresolvable=omit'] : []),
      ...(policy.unknownAts.value === 'unknown' ? [] : [`--unknown-ats=${policy.unknownAts.value}`]),
    ],
  };
}

function memberOf(baseline: string): Requirement {
  return { text: `baseline ${baseline}`, label: memberLabel(baseline), operator: 'In', value: 'member' };
}
