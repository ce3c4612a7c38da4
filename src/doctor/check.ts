/**
 * Every check of `vsmmu doctor` by its stable code, in the order in which they are told. A code is never reused;
 * docs/doctor.md has a section for each.
 */
export const CHECKS = {
  KERNEL_VERSION: ['kernel', 'is new enough for SMMUv3 nesting (6.13)'],
  KERNEL_OPTIONS: ['kernel', 'is built with IOMMUFD, VFIO_DEVICE_CDEV and ARM_SMMU_V3_IOMMUFD'],
  KERNEL_ATS: ['kernel', 'reports whether a device has ATS (7.1)'],
  KERNEL_NOATS: ['kernel', 'was not booted with pci=noats'],
  FIRMWARE_SMMU: ['firmware', 'shows an SMMUv3'],
  FIRMWARE_ATS: ['firmware', 'lets root complexes use ATS where devices have it'],
  SMMU_ACCEL: ['smmu', 'can carry an accelerated vSMMU'],
  DRIVER_VFIO: ['drivers', 'a VFIO driver has a device'],
  GROUP_VIABLE: ['groups', "no group mate of a device is on a host's driver"],
  CONFIG_SPACE: ['nodes', 'config space is readable beyond 64 bytes'],
  NODE_IOMMU: ['nodes', '/dev/iommu exists'],
  NODE_CDEV: ['nodes', 'each VFIO device has its cdev'],
  NODE_ACCESS: ['nodes', 'device nodes may be opened'],
  PROBE_FINDINGS: ['nodes', 'the probe found nothing wrong'],
  LIMIT_MEMLOCK: ['limits', 'memory may be locked without limit'],
  QEMU_SMMUV3: ['launcher', "QEMU's arm-smmuv3 has accel and what belongs to it"],
  QEMU_VFIO_ATS: ['launcher', "QEMU's vfio-pci has ats"],
  LIBVIRT_SCHEMA: ['launcher', "libvirt's schema knows the driver attributes of a vSMMU"],
  KUBELET_SOCKET: ['kubelet', 'takes registrations of device plugins'],
} as const;

export type CheckCode = keyof typeof CHECKS;

/** "unknown" is a check that could not be made: never counted as passed, never as failed. */
export type CheckResult = 'ok' | 'warning' | 'error' | 'unknown';

/** What is not ok has a remedy, always. */
export type CheckOutcome = {
  readonly code: CheckCode;
  /** What it speaks of, where there are several: an SMMU's name, a BDF. */
  readonly subject?: string | undefined;
  /** What was read, and where; for an unknown the reason. */
  readonly evidence: string;
} & (
  | { readonly result: 'ok'; readonly remedy?: undefined }
  | { readonly result: Exclude<CheckResult, 'ok'>; readonly remedy: string }
);

export function ok(code: CheckCode, evidence: string, subject?: string): CheckOutcome {
  return { code, subject, result: 'ok', evidence };
}

export function notMade(code: CheckCode, evidence: string, remedy: string, subject?: string): CheckOutcome {
  return { code, subject, result: 'unknown', evidence, remedy };
}

export function wrong(
  code: CheckCode,
  result: 'warning' | 'error',
  evidence: string,
  remedy: string,
  subject?: string,
): CheckOutcome {
  return { code, subject, result, evidence, remedy };
}
