import type { Vmi } from './vmi.js';

/** Whose devices a VMI asks for by its ResourceClaims. */
export interface ClaimedDevices {
  readonly ours: boolean;
  /** What it names and nobody knows yet: "ResourceClaimTemplate two-gpus". */
  readonly unknown: readonly string[];
}

/** Does a device of the VMI come by a claim? */
export function asksByClaim({ devices }: Vmi): boolean {
  return devices.some(({ claimName }) => claimName !== undefined);
}
