import type { VsmmuError } from '../errors.js';
import type { ResolvedVsmmu } from '../smmu/properties.js';
import type { DeviceFeatures } from '../smmu/features.js';
import type { ResolutionError } from '../smmu/resolve.js';

/** What a prediction needs to know to fill QEMU's message. */
export interface Situation {
  readonly vsmmu: Pick<ResolvedVsmmu, 'ssidsize' | 'oas'>;
  readonly device: DeviceFeatures | undefined;
}

type Message = (situation: Situation, error: ResolutionError) => string;

/** The number that an obstacle's message names ("IDR1.SIDSIZE is 8"); "?" where it came from elsewhere. */
function hostValue({ message }: ResolutionError): string {
  return / is (\d+)/.exec(message)?.[1] ?? '?';
}

const oasMessage: Message = ({ vsmmu, device }, error) =>
  `Host SMMUv3 supports only ${device?.smmu.limits?.oas ?? hostValue(error)}-bit IPA, ` +
  `but the vSMMU OAS implies ${Math.max(vsmmu.oas, 44)}-bit IPA`;

/** The checks of QEMU 11.1's smmuv3_accel_check_hw_compatible() and smmu_validate_property(), as it words them. */
const MESSAGES: Readonly<Partial<Record<ResolutionError['code'], Message>>> = {
  HOST_STLEVEL: (_, error) =>
    `Host SMMUv3 Stream Table format mismatch (host STLEVEL=${hostValue(error)}, QEMU STLEVEL=1)`,
  HOST_TTENDIAN: () => "Host SMMUv3 doesn't support Little-endian translation table",
  HOST_TTF: () => "Host SMMUv3 doesn't support AArch64 translation table format",
  HOST_SIDSIZE: (_, error) => `Host SMMUv3 SIDSIZE not compatible (host=${hostValue(error)}, QEMU=16)`,
  HOST_SSIDSIZE: ({ vsmmu, device }) =>
    `Host SMMUv3 SSIDSIZE not compatible (host=${device?.smmu.limits?.ssidsize ?? '?'}, QEMU=${vsmmu.ssidsize})`,
  HOST_RIL: () => "Host SMMUv3 doesn't support Range Invalidation",
  HOST_OAS: oasMessage,
  HOST_ATS: () => "Host SMMUv3 doesn't support Address Translation Services",
  HOST_GRANULE: (_, { message }) =>
    `Host SMMUv3 doesn't support ${/no (\d+K)/.exec(message)?.[1] ?? ''} translation granule`,
  AUTO_NEEDS_COLD_PLUG: () =>
    "arm-smmuv3 accel=on with 'auto' properties requires at least one cold-plugged VFIO device",
  ACCEL_REQUIRED: (_, { property }) => ACCEL_REQUIRED[property ?? ''] ?? '',
  VALUE_NOT_IMPLEMENTED: (_, { property }) =>
    property === 'oas'
      ? 'QEMU SMMUv3 model only implements 44 and 48 bitOAS; other OasMode values are not supported'
      : '',
};

const ACCEL_REQUIRED: Readonly<Record<string, string>> = {
  ril: 'ril can only be disabled if accel=on',
  ats: 'ats can only be enabled if accel=on',
  oas: 'OAS must be 44 bits when accel=off',
  ssidsize: 'ssidsize can only be greater than 0 bits if accel=on',
};

/** @returns undefined where QEMU has no such check (the guest's DMA fails instead), or its words are not known. */
export function qemuMessage(error: ResolutionError, situation: Situation): string | undefined {
  const message = MESSAGES[error.code]?.(situation, error);
  return message === '' ? undefined : message;
}

/** QEMU's words for a topology that it refuses; undefined where libvirt, or nobody, has the first word. */
export function topologyMessage({ code, message }: Pick<VsmmuError, 'code' | 'message'>): string | undefined {
  return code === 'IOMMU_BUS' && message.includes(' both stand on ')
    ? 'An iommu is already attached to this bus'
    : undefined;
}
