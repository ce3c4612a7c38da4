import { releaseAtLeast } from '../host/kernel.js';
import type { DeviceReport, HostReport, KernelOption, SmmuReport } from '../host/report.js';
import type { Answer } from '../smmu/answer.js';
import { notMade, ok, wrong, type CheckOutcome } from './check.js';
import { COMPATIBILITY, named, rowsOf, sinceOf } from './compatibility.js';

const NEEDED_OPTIONS = [
  'IOMMUFD',
  'VFIO_DEVICE_CDEV',
  'ARM_SMMU_V3_IOMMUFD',
] as const satisfies readonly KernelOption[];

/** What a probed host, live or recorded, tells by itself. */
export function checkHost(report: HostReport): CheckOutcome[] {
  const vfio = report.devices.filter((device) => device.vfio);
  return [
    checkVersion(report),
    checkOptions(report),
    checkReportsAts(report),
    checkNoAts(report),
    checkSmmus(report),
    checkFirmwareAts(vfio),
    ...report.smmus.map(checkAccel),
    checkVfio(vfio),
    ...checkGroups(vfio),
    checkConfigSpace(report.devices),
    ...checkCdevs(vfio),
    ...checkFindings(report),
  ];
}

function readings(answer: Answer<unknown>): string {
  const unique = [...new Set(answer.evidence.map(({ reading, source }) => `${reading} (${source})`))];
  return unique.join(', ');
}

function checkVersion({ kernel: { release } }: HostReport): CheckOutcome {
  const needed = COMPATIBILITY.smmuRegisters;
  const newEnough = releaseAtLeast(release, ...sinceOf(needed));
  if (!release.known) return notMade('KERNEL_VERSION', release.because, release.remedy);
  if (newEnough === undefined)
    return notMade(
      'KERNEL_VERSION',
      `"${release.value}" is no version`,
      'Compare the version that the kernel was built from by hand; the other checks ask the kernel itself.',
    );
  // A kernel with backports has more than its version says; the other checks ask for it.
  const later = rowsOf(needed.part).filter((row) => releaseAtLeast(release, ...sinceOf(row)) === false);
  const brings = later.map(({ since, gives }) => `${since} brings ${gives}`);
  const evidence = [`Linux ${release.value}`, ...brings].join('; ');
  return newEnough
    ? ok('KERNEL_VERSION', evidence)
    : wrong('KERNEL_VERSION', 'error', evidence, `Use ${named(needed)} or newer.`);
}

function checkOptions({ kernel: { options } }: HostReport): CheckOutcome {
  const states = NEEDED_OPTIONS.map((name) => ({ name, option: options[name] }));
  const missing = states.filter(({ option }) => option.known && option.value === 'n');
  if (missing.length > 0)
    return wrong(
      'KERNEL_OPTIONS',
      'error',
      missing.map(({ option }) => readings(option)).join(', '),
      `Use a kernel with ${missing.map(({ name }) => `CONFIG_${name}`).join(', ')}.`,
    );
  const silent = states.find(({ option }) => !option.known)?.option;
  return silent?.known === false
    ? notMade('KERNEL_OPTIONS', silent.because, silent.remedy)
    : ok('KERNEL_OPTIONS', states.map(({ option }) => readings(option)).join(', '));
}

function checkReportsAts({ kernel: { reportsAts } }: HostReport): CheckOutcome {
  if (!reportsAts.known) return notMade('KERNEL_ATS', reportsAts.because, reportsAts.remedy);
  return reportsAts.value
    ? ok('KERNEL_ATS', readings(reportsAts))
    : wrong(
        'KERNEL_ATS',
        'warning',
        readings(reportsAts),
        `Use ${named(COMPATIBILITY.deviceAts)} or newer: until then the ATS of devices that have the capability stays unknown.`,
      );
}

function checkNoAts({ kernel: { noAts } }: HostReport): CheckOutcome {
  if (!noAts.known) return notMade('KERNEL_NOATS', noAts.because, noAts.remedy);
  return noAts.value
    ? wrong(
        'KERNEL_NOATS',
        'warning',
        readings(noAts),
        'Take noats out of pci= where devices are to use ATS.',
      )
    : ok('KERNEL_NOATS', readings(noAts));
}

function checkSmmus({ smmus, devices }: HostReport): CheckOutcome {
  if (smmus.length > 0) return ok('FIRMWARE_SMMU', smmus.map(({ name }) => name).join(', '));
  // Without evidence nothing was read: whether there is an SMMU is not known then.
  const unread = devices.find(({ smmu }) => !smmu.known && smmu.evidence.length === 0)?.smmu;
  if (unread?.known === false) return notMade('FIRMWARE_SMMU', unread.because, unread.remedy);
  return wrong(
    'FIRMWARE_SMMU',
    'error',
    `/sys/class/iommu lists no smmu3.*, and none is in front of any of ${devices.length} PCI functions`,
    'Switch the SMMU on in the firmware setup; check CONFIG_ARM_SMMU_V3 and that the machine is an Arm server.',
  );
}

const NO_VFIO = 'no VFIO device to look at';
const FIRST_VFIO = 'Do first what DRIVER_VFIO says.';

/** Only devices that have the capability lose something by firmware's no. */
function checkFirmwareAts(vfio: readonly DeviceReport[]): CheckOutcome {
  if (vfio.length === 0) return notMade('FIRMWARE_ATS', NO_VFIO, FIRST_VFIO);
  const capable = vfio.filter(({ atsCapability }) => atsCapability.known && atsCapability.value);
  const refused = capable.filter(({ firmwareAts }) => firmwareAts.known && !firmwareAts.value);
  const [first] = refused;
  if (first !== undefined)
    return wrong(
      'FIRMWARE_ATS',
      'warning',
      `${refused.map(({ bdf }) => bdf).join(', ')}: ${readings(first.firmwareAts)}`,
      'Look for an ATS switch in the firmware setup, or ask the vendor to mark the root complex in the IORT.',
    );
  const silent = capable.find(({ firmwareAts }) => !firmwareAts.known)?.firmwareAts;
  if (silent?.known === false) return notMade('FIRMWARE_ATS', silent.because, silent.remedy);
  const unread = vfio.find(
    ({ atsCapability, firmwareAts }) => !atsCapability.known && !(firmwareAts.known && firmwareAts.value),
  );
  if (unread?.atsCapability.known === false) {
    const { because, remedy } = unread.atsCapability;
    return notMade(
      'FIRMWARE_ATS',
      `whether ${unread.bdf} has the ATS capability is unknown: ${because}`,
      remedy,
    );
  }
  return ok('FIRMWARE_ATS', `${capable.length} VFIO devices have the ATS capability`);
}

function checkAccel({ name, accel, features }: SmmuReport): CheckOutcome {
  if (!accel.known) return notMade('SMMU_ACCEL', accel.because, accel.remedy, name);
  if (accel.value) return ok('SMMU_ACCEL', readings(accel), name);
  const remedies = [...new Set(features.obstacles.map(({ remedy }) => remedy))].join(' ');
  const remedy = remedies || 'Run VMs on it without an accelerated vSMMU.';
  return wrong('SMMU_ACCEL', 'error', readings(accel), remedy, name);
}

function checkVfio(vfio: readonly DeviceReport[]): CheckOutcome {
  const drivers = [...new Set(vfio.map(({ driver }) => driver ?? 'a VFIO driver'))].join(', ');
  return vfio.length > 0
    ? ok('DRIVER_VFIO', `${vfio.length} devices on ${drivers}`)
    : wrong(
        'DRIVER_VFIO',
        'warning',
        'no function is bound to vfio-pci or a variant driver of it',
        'Bind the devices that VMs are to get: driverctl set-override BDF vfio-pci.',
      );
}

function checkGroups(vfio: readonly DeviceReport[]): CheckOutcome[] {
  if (vfio.length === 0) return [notMade('GROUP_VIABLE', NO_VFIO, FIRST_VFIO)];
  const bad = vfio.flatMap(({ bdf, passthrough }) =>
    passthrough.ready ? [] : [wrong('GROUP_VIABLE', 'error', passthrough.reason, passthrough.remedy, bdf)],
  );
  return bad.length > 0 ? bad : [ok('GROUP_VIABLE', `${vfio.length} devices`)];
}

function checkConfigSpace(devices: readonly DeviceReport[]): CheckOutcome {
  const unread = devices.filter(({ priCapability }) => !priCapability.known);
  const first = unread[0]?.priCapability;
  if (first?.known !== false) return ok('CONFIG_SPACE', `${devices.length} functions`);
  return wrong(
    'CONFIG_SPACE',
    'warning',
    `${unread.length} of ${devices.length} functions: ${first.because}`,
    first.remedy,
  );
}

function checkCdevs(vfio: readonly DeviceReport[]): CheckOutcome[] {
  if (vfio.length === 0) return [notMade('NODE_CDEV', NO_VFIO, FIRST_VFIO)];
  const bad = vfio.flatMap(({ bdf, cdev }) =>
    cdev.known ? [] : [wrong('NODE_CDEV', 'error', cdev.because, cdev.remedy, bdf)],
  );
  return bad.length > 0 ? bad : [ok('NODE_CDEV', `${vfio.length} devices`)];
}

function checkFindings({ findings }: HostReport): CheckOutcome[] {
  if (findings.length === 0) return [ok('PROBE_FINDINGS', 'no findings')];
  return findings.map(({ code, subject, message, remedy }) =>
    wrong('PROBE_FINDINGS', 'warning', `${code}: ${message}`, remedy, subject),
  );
}
