import type { Bdf } from '../../bdf.js';
import type { DeviceReport, HostReport, SmmuReport } from '../../host/report.js';
import { valueOf, yesNo, type Answer, type YesNoUnknown } from '../../smmu/answer.js';

/** "at least 16 bits": bounds are inclusive. */
export interface BitRange {
  readonly min: number;
  readonly max: number;
}

/** What a device must be; every field given must hold, and of a list any member will do. */
export interface Selector {
  readonly vendor?: readonly number[] | undefined;
  readonly device?: readonly number[] | undefined;
  /** Hex digits of the class code from the left: "03", "0302", "030200". */
  readonly class?: readonly string[] | undefined;
  readonly driver?: readonly string[] | undefined;
  readonly bdf?: readonly Bdf[] | undefined;
  readonly numa?: readonly number[] | undefined;
  readonly smmu?: readonly string[] | undefined;
  /** Virtual functions of these physical ones. */
  readonly physicalFunction?: readonly Bdf[] | undefined;
  readonly ats?: readonly YesNoUnknown[] | undefined;
  readonly accel?: readonly YesNoUnknown[] | undefined;
  readonly cmdqv?: readonly YesNoUnknown[] | undefined;
  readonly ril?: readonly YesNoUnknown[] | undefined;
  readonly pasidBits?: BitRange | undefined;
  readonly oas?: BitRange | undefined;
}

/** The SMMU in front of a device, as the same report describes it. */
export function smmuOf(device: DeviceReport, host: HostReport): SmmuReport | undefined {
  return host.smmus.find(({ name }) => name === device.smmuReport);
}

/**
 * @param unknownMatches what a bound on a number says of a value that is not known; the yes/no features name
 * `unknown` themselves
 */
export function matches(
  selector: Selector,
  device: DeviceReport,
  host: HostReport,
  unknownMatches: boolean,
): boolean {
  const smmu = smmuOf(device, host);
  const limits = smmu?.features.limits;
  const within = (range: BitRange, bits: number | undefined) =>
    bits === undefined ? unknownMatches : bits >= range.min && bits <= range.max;
  const checks: readonly boolean[] = [
    among(selector.vendor, device.vendor),
    among(selector.device, device.device),
    classAmong(selector.class, device.classCode),
    among(selector.driver, device.driver),
    among(selector.bdf, device.bdf),
    among(selector.numa, valueOf(device.numaNode) ?? undefined),
    among(selector.smmu, valueOf(device.smmu)),
    among(selector.physicalFunction, physicalFunctionOf(device)),
    among(selector.ats, yesNo(device.effectiveAts)),
    among(selector.accel, featureOf(smmu?.accel)),
    among(selector.cmdqv, featureOf(smmu?.cmdqv)),
    among(selector.ril, limits === undefined ? 'unknown' : limits.ril ? 'yes' : 'no'),
    selector.pasidBits === undefined || within(selector.pasidBits, valueOf(device.effectivePasidBits)),
    selector.oas === undefined || within(selector.oas, limits?.oas),
  ];
  return checks.every((holds) => holds);
}

function among<T>(wanted: readonly T[] | undefined, value: T | undefined): boolean {
  return wanted === undefined || (value !== undefined && wanted.includes(value));
}

function classAmong(wanted: readonly string[] | undefined, code: number | undefined): boolean {
  if (wanted === undefined) return true;
  if (code === undefined) return false;
  const digits = code.toString(16).padStart(6, '0');
  return wanted.some((prefix) => digits.startsWith(prefix));
}

function physicalFunctionOf({ sriov }: DeviceReport): Bdf | undefined {
  return sriov.role === 'virtual' ? sriov.physicalFunction : undefined;
}

function featureOf(answer: Answer<boolean> | undefined): YesNoUnknown {
  return answer === undefined ? 'unknown' : yesNo(answer);
}
