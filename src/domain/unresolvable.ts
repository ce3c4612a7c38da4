import type { SmmuLimits } from '../smmu/features.js';
import type { BehindDevice } from '../smmu/resolve.js';

/** What every SMMUv3 that can run an accelerated vSMMU has. */
const CONSERVATIVE: SmmuLimits = { ats: false, ril: false, ssidsize: 0, oas: 44, cmdqv: undefined };

/**
 * Is nothing known of the host SMMU, as opposed to known to be unfit? Only then is there something to decide by
 * policy; what is known to fail is always refused.
 */
export function isUnresolvable({ features: { smmu } }: BehindDevice): boolean {
  return smmu.limits === undefined && smmu.obstacles.every(({ code }) => code === 'HW_INFO_UNKNOWN');
}

export function withConservativeLimits(device: BehindDevice): BehindDevice {
  if (!isUnresolvable(device)) return device;
  const { features } = device;
  return {
    ...device,
    features: { ...features, smmu: { ...features.smmu, limits: CONSERVATIVE, obstacles: [] } },
  };
}
