import { compareBdf } from '../bdf.js';
import { featuresOf } from '../host/features.js';
import type { DeviceReport, HostReport, SmmuReport } from '../host/report.js';
import { annotationOf } from '../kubevirt/write-resolved.js';
import { type Answer, valueOf, yesNo } from '../smmu/answer.js';
import {
  DEVICES_MAX,
  type NodeProfileSpec,
  type NodeProfileStatus,
  type ProfileDevice,
  type ProfileSmmu,
  SMMUS_MAX,
} from './node-profile-schema.js';

const TEXT_MAX = 400;
const EVIDENCE_MAX = 8;

/**
 * The NodeProfile spec of a probed host: devices bound to a VFIO driver, and the SMMUs in front of them. The same
 * host always gives the same spec, so that nothing is written while nothing changes.
 *
 * @param node the Kubernetes name of the node
 */
export function describeNode(report: HostReport, node: string): NodeProfileSpec {
  const candidates = candidatesOf(report).slice(0, DEVICES_MAX);
  const all = featuresOf(report);
  const features = new Map(
    candidates.flatMap(({ bdf }) => {
      const one = all.devices.get(bdf);
      return one === undefined ? [] : [[bdf, one] as const];
    }),
  );
  const { smmus, groups, devices } = annotationOf({ origin: report.origin, devices: features }, node);
  const profileSmmus = Object.entries(smmus)
    .slice(0, SMMUS_MAX)
    .map(([name, smmu]) => describeSmmu(name, smmu, report));
  const profileDevices = candidates.flatMap((candidate) => {
    const group = groups[devices[candidate.bdf] ?? -1];
    return group === undefined ? [] : [describeDevice(candidate, group)];
  });
  return {
    node,
    ...optional('kernel', valueOf(report.kernel.release)?.slice(0, 128)),
    summary: {
      smmus: profileSmmus.length,
      accel: profileSmmus.filter(({ accel }) => accel === 'on').length,
      devices: profileDevices.length,
      ats: profileDevices.filter(({ ats }) => ats === 'yes').length,
      pasid: profileDevices.filter(({ pasidBits = 0 }) => pasidBits > 0).length,
    },
    smmus: profileSmmus,
    devices: profileDevices,
  };
}

/** What the profile's condition says of a host: was everything read, and did everything fit in? */
export function completeness(
  report: HostReport,
  spec: NodeProfileSpec,
): Omit<NonNullable<NodeProfileStatus['conditions']>[number], 'lastTransitionTime'> {
  const left = candidatesOf(report).length - spec.devices.length;
  if (left > 0)
    return condition('False', 'TooManyDevices', `${left} devices did not fit in; ${DEVICES_MAX} do`);
  const unread = spec.smmus.filter(({ limits }) => limits === undefined).map(({ name }) => name);
  const [first] = unread;
  if (first !== undefined)
    return condition(
      'False',
      'SmmuUnread',
      `${unread.length} of ${spec.smmus.length} SMMUs could not be read: ${cut(unread.join(', '))}`,
    );
  return condition('True', 'EverythingRead', 'every SMMU and device could be read');
}

function condition(status: 'True' | 'False', reason: string, message: string) {
  return { type: 'Complete', status, reason, message };
}

function candidatesOf(report: HostReport): DeviceReport[] {
  return report.devices.filter(({ vfio }) => vfio).sort((a, b) => compareBdf(a.bdf, b.bdf));
}

type AnnotatedSmmus = ReturnType<typeof annotationOf>['smmus'];
type AnnotatedGroups = ReturnType<typeof annotationOf>['groups'];

function describeSmmu(name: string, smmu: AnnotatedSmmus[string], report: HostReport): ProfileSmmu {
  const evidence = evidenceOf(report.smmus.find((one) => one.named && one.name === name));
  if (smmu.accel === 'on') {
    const { accel, ...limits } = smmu;
    return { name, accel, limits, ...optional('evidence', evidence) };
  }
  const obstacles = [smmu, ...(smmu.also ?? [])].map(({ code, because, remedy }) => ({
    code,
    message: because,
    remedy,
  }));
  return {
    name,
    accel: smmu.accel,
    ...optional('limits', smmu.limits),
    obstacles,
    ...optional('evidence', evidence),
  };
}

function evidenceOf(smmu: SmmuReport | undefined): string[] | undefined {
  if (smmu === undefined) return undefined;
  const told = [...smmu.registers.evidence, ...smmu.cmdqv.evidence];
  const texts = told.map(({ reading, source }) => cut(`${reading} (${source})`));
  return texts.length === 0 ? undefined : [...new Set(texts)].slice(0, EVIDENCE_MAX);
}

function describeDevice(report: DeviceReport, group: AnnotatedGroups[number]): ProfileDevice {
  const reasons = report.passthrough.ready
    ? [reasonOf(report.effectiveAts), reasonOf(report.effectivePasidBits)]
    : [report.passthrough.reason];
  const because = [...new Set(reasons.filter((reason) => reason !== undefined))].join('; ');
  return {
    bdf: report.bdf,
    smmu: group.smmu,
    kernelAts: group.ats,
    ...optional('atsCapability', group.capability),
    ...optional('numaNode', group.numa),
    ats: yesNo(report.effectiveAts),
    ...optional('pasidBits', valueOf(report.effectivePasidBits)),
    ...optional('because', because === '' ? undefined : cut(because)),
    ready: report.passthrough.ready,
    ...optional('vendor', hex(report.vendor)),
    ...optional('device', hex(report.device)),
    ...optional('driver', report.driver?.slice(0, 64)),
    ...optional('iommuGroup', valueOf(report.iommuGroup)),
  };
}

function reasonOf(answer: Answer<unknown>): string | undefined {
  return answer.known ? undefined : answer.because;
}

function hex(id: number | undefined): string | undefined {
  return id?.toString(16).padStart(4, '0');
}

/** An absent field stays absent: Kubernetes stores what is written, and null is something else. */
function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Partial<Record<K, V>>);
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX - 1)}…`;
}
