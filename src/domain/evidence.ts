import type { KernelAts, SmmuLimits } from '../smmu/features.js';
import type { BehindDevice } from '../smmu/resolve.js';
import type { Origin } from './asked.js';
import type { ResolvedProperty } from './resolved-properties.js';

const AUTO: Readonly<Record<ResolvedProperty, string>> = {
  cmdqv: 'auto: on where the host is known to have it',
  ats: "auto: the host SMMU's value",
  ril: "auto: the host SMMU's value",
  ssidsize: "auto: the host SMMU's substream id bits",
  oas: 'auto: the larger of 44 and 48 that the host SMMU has',
};

const EXPLICIT: Readonly<Record<Exclude<Origin, 'auto'>, string>> = {
  set: 'set by hand: kept, and checked against each host SMMU behind it',
  kept: 'stood in the domain: kept, and checked against each host SMMU behind it',
  baseline: "the fleet's baseline, checked against each host SMMU behind it",
};

/** By which rule a property got its value (docs/resolve.md). */
export function propertyRule(property: ResolvedProperty, origin: Origin, conservative: boolean): string {
  if (origin !== 'auto') return EXPLICIT[origin];
  return conservative ? 'conservative: what every SMMU that can be accelerated has' : AUTO[property];
}

const READINGS: Readonly<Record<ResolvedProperty, (limits: SmmuLimits) => string>> = {
  cmdqv: ({ cmdqv }) =>
    cmdqv === undefined ? 'CMDQV: not known' : `Tegra241 CMDQV: ${cmdqv ? 'yes' : 'no'}`,
  ats: ({ ats }) => `IDR0.ATS=${Number(ats)}`,
  ril: ({ ril }) => `IDR3.RIL=${Number(ril)}`,
  ssidsize: ({ ssidsize }) => `IDR1.SSIDSIZE=${ssidsize}`,
  oas: ({ oas }) => `IDR5.OAS=${oas} bits`,
};

/** What was read, of which SMMU, through which device, on which host. */
export function evidenceOf(
  property: ResolvedProperty,
  device: BehindDevice | undefined,
  origin: string,
): string {
  if (device === undefined) return 'no device behind it';
  const { bdf, smmu } = device.features;
  const { limits, name = 'the SMMU' } = smmu;
  const reading =
    limits === undefined ? (smmu.obstacles[0]?.message ?? 'not known') : READINGS[property](limits);
  return `${reading}, ${name} of ${bdf}, ${origin}`;
}

export const KERNEL_ATS: Readonly<Record<KernelAts, string>> = {
  supported: 'kernel reports ATS as supported (out_capabilities bit 3 clear)',
  'not-supported': 'kernel reports ATS as not supported (out_capabilities bit 3 set)',
  silent: 'kernel cannot say (before Linux 7.1, or no iommufd)',
};
