import type { Bdf } from '../bdf.js';
import type { ErrorCode } from '../error-codes.js';
import type { YesNoUnknown } from './answer.js';
import { atsExposure, effectiveAts } from './ats.js';
import type { DeviceFeatures, SmmuLimits } from './features.js';
import {
  LEGACY_DEFAULTS,
  OAS_IMPLEMENTED,
  SSIDSIZE_MAX,
  type AskedVsmmu,
  type OnOff,
  type OnOffAuto,
  type ResolvedVsmmu,
  type VsmmuProperty,
} from './properties.js';

/** A VFIO device behind the vSMMU. */
export interface BehindDevice {
  readonly features: DeviceFeatures;
  /** vfio-pci `ats` */
  readonly ats: OnOffAuto;
  readonly coldPlugged: boolean;
}

export interface ResolutionError {
  readonly code: ErrorCode;
  readonly property?: VsmmuProperty;
  readonly bdf?: Bdf;
  readonly message: string;
  readonly remedy: string;
}

export interface ResolvedDevice {
  readonly bdf: Bdf;
  readonly atsExposed: boolean;
  readonly effectiveAts: YesNoUnknown;
}

export type Resolution =
  | { readonly ok: true; readonly vsmmu: ResolvedVsmmu; readonly devices: readonly ResolvedDevice[] }
  | { readonly ok: false; readonly errors: readonly ResolutionError[] };

type Report = (error: ResolutionError) => void;

/**
 * Resolves every property of one arm-smmuv3 for the devices behind it and checks the result against each
 * device's host SMMU, as QEMU 11.1 does at boot; all errors are told, not just the first.
 * Auto resolves once, from the first cold-plugged device; later devices are checked against that.
 */
export function resolveVsmmu(asked: AskedVsmmu, devices: readonly BehindDevice[]): Resolution {
  const errors: ResolutionError[] = [];
  const report: Report = (error) => errors.push(error);

  checkImplemented(asked, report);
  const vsmmu = asked.accel ? resolveAccelerated(asked, devices, report) : resolvePlain(asked, report);
  for (const device of devices) checkDeviceAts(device, report);

  return errors.length > 0 ? { ok: false, errors } : { ok: true, vsmmu, devices: devices.map(resolveDevice) };
}

function resolveDevice(device: BehindDevice): ResolvedDevice {
  return {
    bdf: device.features.bdf,
    atsExposed: atsExposure(device.ats, device.features) === 'shown',
    effectiveAts: effectiveAts(device.features),
  };
}

/** Values that no QEMU accepts, whatever the host. */
function checkImplemented(asked: AskedVsmmu, report: Report): void {
  const { oas, ssidsize } = asked;
  if (oas !== 'auto' && !OAS_IMPLEMENTED.some((size) => size === oas))
    report({
      code: 'VALUE_NOT_IMPLEMENTED',
      property: 'oas',
      message: `oas=${oas}: QEMU's vSMMU implements 44 and 48 bits only`,
      remedy: 'Ask for 44, 48 or auto.',
    });
  if (ssidsize !== 'auto' && (ssidsize < 0 || ssidsize > SSIDSIZE_MAX))
    report({
      code: 'VALUE_NOT_IMPLEMENTED',
      property: 'ssidsize',
      message: `ssidsize=${ssidsize}: a vSMMU has 0 to ${SSIDSIZE_MAX} substream id bits`,
      remedy: `Ask for 0 to ${SSIDSIZE_MAX}, or auto.`,
    });
}

/** accel=off: auto means the fixed defaults, and nothing above them may be asked for (QEMU's smmu_validate_property()). */
function resolvePlain(asked: AskedVsmmu, report: Report): ResolvedVsmmu {
  const refuse = (property: VsmmuProperty, asks: string, without: string) =>
    report({
      code: 'ACCEL_REQUIRED',
      property,
      message: `${asks} is possible only with accel=on`,
      remedy: `Set accel=on, or ask for ${without}.`,
    });
  if (asked.ril === 'off') refuse('ril', 'ril=off', 'ril=on');
  if (asked.ats === 'on') refuse('ats', 'ats=on', 'ats=off');
  if (asked.oas === 48) refuse('oas', 'oas=48', 'oas=44');
  if (asked.ssidsize !== 'auto' && asked.ssidsize > 0)
    refuse('ssidsize', `ssidsize=${asked.ssidsize}`, 'ssidsize=0');
  if (asked.cmdqv === 'on') refuse('cmdqv', 'cmdqv=on', 'cmdqv=off');
  return LEGACY_DEFAULTS;
}

function resolveAccelerated(
  asked: AskedVsmmu,
  devices: readonly BehindDevice[],
  report: Report,
): ResolvedVsmmu {
  checkOneSmmu(devices, report);
  for (const device of devices) reportObstacles(device.features, report);

  const source = devices.find((device) => device.coldPlugged);
  if (source === undefined && usesAuto(asked))
    report({
      code: 'AUTO_NEEDS_COLD_PLUG',
      message: 'accel=on with "auto" properties requires at least one cold-plugged VFIO device',
      remedy: 'Write explicit values, or put a VFIO device behind the vSMMU before the VM starts.',
    });
  const vsmmu = withAuto(asked, source?.features.smmu.limits);
  for (const { features } of devices)
    if (features.smmu.limits !== undefined) checkLimits(asked, vsmmu, features, features.smmu.limits, report);
  return vsmmu;
}

/** QEMU's auto_mode: cmdqv=auto falls back to off by itself and needs no device. */
function usesAuto(asked: AskedVsmmu): boolean {
  return [asked.ats, asked.ril, asked.ssidsize, asked.oas].includes('auto');
}

/**
 * Fills auto with the host's values. Where the host's are not known, an error was reported already and the
 * result is never used; the least capable values keep the checks of the explicit properties meaningful.
 */
function withAuto(asked: AskedVsmmu, host: SmmuLimits | undefined): ResolvedVsmmu {
  const onOff = (value: OnOffAuto, hostHas: boolean | undefined): OnOff =>
    value === 'auto' ? (hostHas === true ? 'on' : 'off') : value;
  const ssidsize = asked.ssidsize === 'auto' ? Math.min(host?.ssidsize ?? 0, SSIDSIZE_MAX) : asked.ssidsize;
  return {
    accel: 'on',
    ats: onOff(asked.ats, host?.ats),
    ril: onOff(asked.ril, host?.ril),
    ssidsize,
    oas: asked.oas === 'auto' ? largestOas(host?.oas ?? 0) : asked.oas,
    cmdqv: onOff(asked.cmdqv, host?.cmdqv),
    pasid: ssidsize > 0,
  };
}

/** The larger of {44, 48} not above the host's; hosts below 44 were refused as an obstacle. */
function largestOas(hostBits: number): number {
  return OAS_IMPLEMENTED.findLast((size) => size <= hostBits) ?? OAS_IMPLEMENTED[0];
}

/**
 * QEMU does not check this: one vIOMMU object belongs to one physical SMMU, and a device of another one fails
 * only later, when the guest programs its stream table (kernel: -EINVAL).
 */
function checkOneSmmu(devices: readonly BehindDevice[], report: Report): void {
  const [first, ...others] = devices.filter((device) => device.features.smmu.name !== undefined);
  for (const other of others) {
    if (first === undefined || other.features.smmu.name === first.features.smmu.name) continue;
    report({
      code: 'MIXED_SMMUS',
      bdf: other.features.bdf,
      message:
        `${other.features.bdf} is behind ${String(other.features.smmu.name)}, ` +
        `${first.features.bdf} behind ${String(first.features.smmu.name)}: one vSMMU serves one host SMMU`,
      remedy: 'Give each host SMMU a vSMMU of its own, on a bus of its own.',
    });
  }
}

function reportObstacles(device: DeviceFeatures, report: Report): void {
  for (const { code, message, remedy } of device.smmu.obstacles)
    report({
      code,
      property: code === 'HOST_OAS' ? 'oas' : 'accel',
      bdf: device.bdf,
      message: `${device.bdf}: ${message}`,
      remedy,
    });
}

/** The checks of smmuv3_accel_check_hw_compatible() that depend on the properties. Off and lower always pass. */
function checkLimits(
  asked: AskedVsmmu,
  vsmmu: ResolvedVsmmu,
  { bdf, smmu }: DeviceFeatures,
  host: SmmuLimits,
  report: Report,
): void {
  const where = `the host SMMU of ${bdf}${smmu.name === undefined ? '' : ` (${smmu.name})`}`;
  const refuse = (code: ErrorCode, property: keyof AskedVsmmu, message: string, atMost: string) =>
    report({
      code,
      property,
      bdf,
      message: `${property}=${String(vsmmu[property])}${asked[property] === 'auto' ? ' (auto)' : ''}: ${message}`,
      remedy: `Ask for ${property}=${atMost}${asked[property] === 'auto' ? '' : ' or auto'}, or use another device.`,
    });
  const hasObstacle = (code: ErrorCode) => smmu.obstacles.some((obstacle) => obstacle.code === code);

  if (host.ssidsize < vsmmu.ssidsize)
    refuse(
      'HOST_SSIDSIZE',
      'ssidsize',
      `${where} has ${host.ssidsize} substream id bits`,
      `${host.ssidsize}`,
    );
  if (!host.ril && vsmmu.ril === 'on') refuse('HOST_RIL', 'ril', `${where} has no range invalidation`, 'off');
  if (host.oas < vsmmu.oas && !hasObstacle('HOST_OAS'))
    refuse('HOST_OAS', 'oas', `${where} has ${host.oas} output address bits`, `${largestOas(host.oas)}`);
  if (!host.ats && vsmmu.ats === 'on')
    refuse('HOST_ATS', 'ats', `${where} has no Address Translation Services`, 'off');
  if (host.cmdqv === false && vsmmu.cmdqv === 'on')
    refuse('HOST_CMDQV', 'cmdqv', `${where} has no Tegra241 CMDQV`, 'off');
}

function checkDeviceAts({ features, ats }: BehindDevice, report: Report): void {
  if (atsExposure(ats, features) !== 'refused') return;
  report({
    code: 'DEVICE_ATS',
    property: 'ats',
    bdf: features.bdf,
    message: `${features.bdf}: ats=on, but the kernel reports ATS as not supported for this device`,
    remedy: 'Ask for ats=auto or ats=off on this device.',
  });
}
