/**
 * Every code that vsmmu prints, with its meaning. Codes are stable: a code is retired, never reused.
 * docs/errors.md is generated from this table.
 */
export const ERROR_CODES = {
  // Resolution: what an arm-smmuv3 or a vfio-pci device asks and this host can't give (src/smmu).
  MIXED_SMMUS: 'Devices of different host SMMUs stand behind one vSMMU.',
  AUTO_NEEDS_COLD_PLUG: 'A property is "auto" and no cold-plugged VFIO device is there to resolve it.',
  ACCEL_REQUIRED: 'A property is set that QEMU allows only with accel=on.',
  VALUE_NOT_IMPLEMENTED: 'A property has a value that no vSMMU implements.',
  HW_INFO_TYPE: 'IOMMU_GET_HW_INFO did not describe an SMMUv3.',
  HW_INFO_UNKNOWN: 'What the host SMMU can do is not known.',
  HOST_STLEVEL: "The host SMMU's stream table is not 2-level.",
  HOST_TTENDIAN: 'The host SMMU walks big-endian tables only.',
  HOST_TTF: 'The host SMMU has no AArch64 table format.',
  HOST_SIDSIZE: 'The host SMMU has fewer than 16 StreamID bits.',
  HOST_SSIDSIZE: 'More substream id bits are asked for than the host SMMU has.',
  HOST_RIL: 'Range invalidation is asked for and the host SMMU has none.',
  HOST_OAS: 'A wider output address is asked for than the host SMMU has.',
  HOST_ATS: 'ATS is asked for and the host SMMU has none.',
  HOST_CMDQV: 'CMDQV is asked for and the host SMMU has none.',
  HOST_GRANULE: 'The host SMMU lacks a translation granule that QEMU requires.',
  DEVICE_ATS: 'ATS is asked for on a device and the kernel says it is not supported.',
  MALFORMED_REQUEST: 'A resolve request is not what docs/resolve.md describes.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;
