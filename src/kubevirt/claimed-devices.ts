import type { Bdf } from '../bdf.js';
import type { Vmi } from './vmi.js';

/** A device that the scheduler has given a claim. */
export interface GivenDevice {
  readonly node: string;
  readonly bdf: Bdf;
}

/** Whose devices a VMI asks for by its ResourceClaims. */
export interface ClaimedDevices {
  readonly ours: boolean;
  /** What it names and nobody knows yet: "ResourceClaimTemplate two-gpus". */
  readonly unknown: readonly string[];
  /** Ours of those that its claims were given; undefined: nobody looked, or some claim has none yet. */
  readonly given?: readonly GivenDevice[] | undefined;
}

/** Does a device of the VMI come by a claim? */
export function asksByClaim({ devices }: Vmi): boolean {
  return devices.some(({ claimName }) => claimName !== undefined);
}
