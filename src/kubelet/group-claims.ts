import type { Bdf } from '../bdf.js';
import type { PluginDevice } from './plugin-device.js';

/** A container's hold on an IOMMU group. */
interface Claim {
  readonly devices: ReadonlySet<Bdf>;
  /** Clock of the last Allocate, ms. */
  readonly since: number;
  /** Has the kubelet listed one of the devices as in use since then? */
  readonly confirmed: boolean;
}

/**
 * A pod is admitted after Allocate and listed after that. A claim that the kubelet has not listed for so long
 * belongs to a pod that never came to be.
 */
const UNCONFIRMED_MS = 5 * 60_000;

/**
 * Which groups are handed out. The device plugin API has no "released": claims end when the kubelet's list of
 * pod resources no longer names the devices.
 */
export class GroupClaims {
  readonly #claims = new Map<number, Claim>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get size(): number {
    return this.#claims.size;
  }

  /** Devices of the group that another container holds; empty where the device is free to be handed out. */
  rivals(device: PluginDevice, together: ReadonlySet<Bdf>): readonly Bdf[] {
    const claim = this.#claims.get(device.iommuGroup);
    if (claim === undefined || claim.devices.has(device.bdf)) return [];
    return [...claim.devices].filter((holder) => !together.has(holder));
  }

  /** Hands the devices' groups to one container; a former claim on the same device is over, or the kubelet would not ask. */
  claim(devices: readonly PluginDevice[]): void {
    for (const { iommuGroup } of devices) {
      const members = devices.filter((device) => device.iommuGroup === iommuGroup);
      this.#set(
        iommuGroup,
        members.map(({ bdf }) => bdf),
        false,
      );
    }
  }

  /** Why a mate's holder keeps this device from being handed out; undefined: nothing does. */
  obstacle(device: PluginDevice): string | undefined {
    const rivals = this.rivals(device, new Set());
    return rivals.length === 0
      ? undefined
      : `IOMMU group ${device.iommuGroup} is in use through ${rivals.join(', ')}`;
  }

  /**
   * Ends the claims whose devices no pod uses any more, and adds those of devices that are in use.
   *
   * @returns whether anything changed.
   */
  reconcile(inUse: ReadonlySet<Bdf>, devices: readonly PluginDevice[]): boolean {
    let changed = false;
    for (const [group, claim] of this.#claims) {
      if ([...claim.devices].some((bdf) => inUse.has(bdf)))
        this.#claims.set(group, { ...claim, confirmed: true });
      else if (claim.confirmed || this.#now() - claim.since > UNCONFIRMED_MS) {
        changed = this.#claims.delete(group) || changed;
      }
    }
    for (const device of devices) {
      if (!inUse.has(device.bdf) || this.#claims.get(device.iommuGroup)?.devices.has(device.bdf) === true)
        continue;
      const holders = this.#claims.get(device.iommuGroup)?.devices ?? [];
      this.#set(device.iommuGroup, [...holders, device.bdf], true);
      changed = true;
    }
    return changed;
  }

  #set(group: number, devices: readonly Bdf[], confirmed: boolean): void {
    this.#claims.set(group, { devices: new Set(devices), since: this.#now(), confirmed });
  }
}
