import type { NodeProfile } from '../cluster/node-profile.js';
import { lineDiff } from '../domain/line-diff.js';
import { DomainRefused } from '../domain/refused.js';
import { rewriteDomain, type RewriteOptions } from '../domain/rewrite.js';
import { messageOf, VsmmuError } from '../errors.js';
import type { EffectivePolicy, VmiLabels } from '../fleet/effective-policy.js';
import { explainVmi, type Fleet, servedText } from '../fleet/explain-vmi.js';
import { POLICY_PROPERTIES } from '../fleet/policy.js';
import { policyForVmi } from '../fleet/policy-for-vmi.js';
import { optionsOfVmi } from '../kubevirt/hook/rewrite.js';
import { selectsResource } from '../kubevirt/vmi-create.js';
import type { Vmi } from '../kubevirt/vmi.js';
import type { PageDomain, PageVm } from './page-fleet.js';
import { kubevirtDomain, standIns } from './vm-domain.js';

type KnownFleet = Omit<Fleet, 'nodes'>;

/** A VM on its node: what decides, and its domain before and after the hook. */
export function pageVmOf(vmi: Vmi, labels: VmiLabels, profile: NodeProfile, fleet: KnownFleet): PageVm {
  const {
    vmi: key,
    touched,
    policy,
    unresolved,
  } = explainVmi(vmi, labels, { ...fleet, nodes: [{ profile, labels: {} }] });
  const because = unresolved === undefined ? touched.because : unresolved.message;
  return {
    key,
    node: profile.node,
    served: `${servedText(touched)}, because ${because}`,
    settings: settingsOf(policy),
    domain:
      touched.value === true && unresolved === undefined
        ? domainOf(vmi, labels, policy, profile, fleet)
        : null,
  };
}

function settingsOf(policy: EffectivePolicy): PageVm['settings'] {
  const { properties, baseline, topology, onUnresolved, unknownAts } = policy;
  return [
    ...POLICY_PROPERTIES.map((name) => ({ name, ...properties[name] })),
    { name: 'baseline', value: baseline.value ?? 'none', from: baseline.from },
    { name: 'topology', ...topology },
    { name: 'onUnresolved', ...onUnresolved },
    { name: 'unknownAts', ...unknownAts },
  ].map(({ name, value, from }) => ({ name, value: String(value), from }));
}

/** The hook's own rewrite, on the domain that KubeVirt would hand it. */
function domainOf(
  vmi: Vmi,
  labels: VmiLabels,
  policy: EffectivePolicy,
  profile: NodeProfile,
  fleet: KnownFleet,
): PageDomain | null {
  const requests = vmi.devices.filter(
    ({ deviceName }) => deviceName !== undefined && selectsResource(fleet.resources, deviceName),
  );
  const devices = standIns(requests, profile);
  if (devices.length === 0) return null;
  const before = kubevirtDomain(devices, policy.topology.value !== 'complete');
  const about = { devices: devices.map(({ bdf }) => bdf), missing: requests.length - devices.length };
  try {
    const { text } = rewriteDomain(before, profile.features, hookOptions(vmi, labels, policy, fleet));
    const lines = lineDiff(before, text).map(({ kind, line }) => ({ kind, text: line.replace(/\n$/, '') }));
    return { ...about, lines, errors: [] };
  } catch (error) {
    if (!(error instanceof VsmmuError)) throw error;
    const findings = error instanceof DomainRefused ? error.findings : [error];
    return { ...about, lines: [], errors: findings.map((one) => `${messageOf(one)} ${one.remedy}`) };
  }
}

/** As the webhook would start its hook if the VMI were created now. */
function hookOptions(
  vmi: Vmi,
  labels: VmiLabels,
  policy: EffectivePolicy,
  fleet: KnownFleet,
): RewriteOptions {
  const decided = policyForVmi(vmi, {
    policies: fleet.policies,
    vmiLabels: labels.vmi,
    namespaceLabels: labels.namespace,
    baseline: (name) => fleet.baselines.get(name),
  });
  return {
    topology: policy.topology.value,
    unresolvable: policy.onUnresolved.value === 'leave' ? 'omit' : 'fail',
    unknownAts: policy.unknownAts.value,
    ...optionsOfVmi(decided),
  };
}
