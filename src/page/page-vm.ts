import type { NodeProfile } from '../cluster/node-profile.js';
import type { VmiLabels } from '../fleet/effective-policy.js';
import { explainVmi, type Fleet } from '../fleet/explain-vmi.js';
import { POLICY_PROPERTIES } from '../fleet/policy.js';
import type { Vmi } from '../kubevirt/vmi.js';
import type { ResolvedVsmmu } from '../smmu/properties.js';
import type { PageVm } from './page-fleet.js';

/** A VM on its node: what decides, and its vSMMU's XML before and after. */
export function pageVmOf(
  vmi: Vmi,
  labels: VmiLabels,
  profile: NodeProfile,
  fleet: Omit<Fleet, 'nodes'>,
): PageVm {
  const {
    vmi: key,
    touched,
    policy,
    unresolved,
    nodes,
  } = explainVmi(vmi, labels, { ...fleet, nodes: [{ profile, labels: {} }] });
  const { properties, baseline, topology, onUnresolved, unknownAts } = policy;
  const settings = [
    ...POLICY_PROPERTIES.map((name) => ({ name, ...properties[name] })),
    { name: 'baseline', value: baseline.value ?? 'none', from: baseline.from },
    { name: 'topology', ...topology },
    { name: 'onUnresolved', ...onUnresolved },
    { name: 'unknownAts', ...unknownAts },
  ].map(({ name, value, from }) => ({ name, value: String(value), from }));
  const because = unresolved === undefined ? touched.because : unresolved.message;
  return {
    key,
    served: `${touched.value ? 'vsmmu serves it' : 'vsmmu leaves it alone'}, because ${because}`,
    settings,
    smmus: nodes.flatMap(({ smmus }) =>
      smmus.map(({ smmu, vsmmu, errors }) => ({ smmu, before: BEFORE, after: iommuXml(vsmmu), errors })),
    ),
  };
}

/** As a domain has it that leaves all to QEMU. */
const BEFORE = "<iommu model='smmuv3'>\n  <driver accel='on'/>\n</iommu>";

/** libvirt's element (12.7), an attribute a line so that a difference is a line; '' where it can't be resolved. */
function iommuXml(vsmmu: ResolvedVsmmu | undefined): string {
  if (vsmmu === undefined) return '';
  const { accel, cmdqv, ats, ril, ssidsize, oas } = vsmmu;
  const attributes = Object.entries({ accel, cmdqv, ats, ril, ssidsize, oas });
  const lines = attributes.map(([name, value]) => `          ${name}='${value}'`);
  return `<iommu model='smmuv3'>\n  <driver\n${lines.join('\n')}/>\n</iommu>`;
}
