import { parseBdf, type Bdf } from '../bdf.js';
import type { PluginDevice } from './plugin-device.js';

/**
 * Who has a group: some container, by a resource of the device plugin (the API says neither pod nor container), or a
 * prepared ResourceClaim. The kubelet keeps its books by resource: a device that is renamed by the configuration is
 * free for it under the new name while a container has it under the old one.
 */
export type Holder = `resource ${string}` | `claim ${string}`;

/** A hold on an IOMMU group; the devices that were asked for, out of all its members. */
export interface GroupClaim {
  readonly group: number;
  readonly devices: ReadonlySet<Bdf>;
  readonly holder: Holder;
  /** Clock of the last Allocate, ms since the epoch. */
  readonly since: number;
  /** Has the kubelet listed one of the devices as in use since then? */
  readonly confirmed: boolean;
  /** When the kubelet's list was first without all of them again; same clock. */
  readonly missingSince?: number;
}

/**
 * The kubelet lists a device as soon as Allocate has answered. A claim that it has not listed for so long belongs to
 * a pod that was refused after all, or that is over.
 */
const UNCONFIRMED_MS = 20_000;

/**
 * A kubelet that was just started lists no pods until it has heard of them, and their devices are none it would hand out.
 * A pod is over when its devices are still not listed after so long.
 */
const GONE_MS = 5_000;

export type GroupMember = Pick<PluginDevice, 'bdf' | 'iommuGroup'>;

/**
 * Which IOMMU groups are handed out: one table for the device plugin and the DRA driver, so that together they never
 * hand a group out twice. The device plugin API has no "released": a container's claims end when the kubelet's list
 * of pod resources no longer names the devices. A ResourceClaim's end when it is unprepared.
 */
export class GroupClaims {
  readonly #claims = new Map<number, GroupClaim>();
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get all(): readonly GroupClaim[] {
    return [...this.#claims.values()];
  }

  /** Called after every change. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Takes over what an earlier process wrote down; a claim that is there already wins. */
  restore(claims: readonly GroupClaim[]): void {
    for (const claim of claims) if (!this.#claims.has(claim.group)) this.#claims.set(claim.group, claim);
  }

  /**
   * Devices of the group that someone else has; empty where the device is free for this holder.
   * A container's claim on the very same device is over, or the kubelet would not hand it out again.
   */
  rivals(device: GroupMember, together: ReadonlySet<Bdf>, holder: Holder): readonly Bdf[] {
    const claim = this.#claims.get(device.iommuGroup);
    if (claim === undefined) return [];
    if (claim.holder !== holder) return [...claim.devices];
    if (holder.startsWith('claim ') || claim.devices.has(device.bdf)) return [];
    return [...claim.devices].filter((held) => !together.has(held));
  }

  /** Hands the devices' groups to one holder. A ResourceClaim then has these and no others, whatever they were before. */
  claim(devices: readonly GroupMember[], holder: Holder): void {
    if (holder.startsWith('claim ')) this.#drop(holder);
    for (const { iommuGroup } of devices) {
      const members = devices.filter((device) => device.iommuGroup === iommuGroup);
      this.#set(iommuGroup, new Set(members.map(({ bdf }) => bdf)), holder, holder.startsWith('claim '));
    }
    if (devices.length > 0) this.#tell();
  }

  /**
   * Follows devices into the groups they are in now: numbers change at a reboot, which outlives what is written down,
   * and when a device is bound anew.
   */
  regroup(devices: readonly GroupMember[]): void {
    const groups = new Map(devices.map(({ bdf, iommuGroup }) => [bdf, iommuGroup]));
    const moved = this.all.filter(({ group, devices: held }) =>
      [...held].some((bdf) => (groups.get(bdf) ?? group) !== group),
    );
    if (moved.length === 0) return;
    for (const { group } of moved) this.#claims.delete(group);
    for (const claim of moved) {
      for (const bdf of claim.devices) {
        const group = groups.get(bdf) ?? claim.group;
        const there = this.#claims.get(group);
        if (there !== undefined && there.holder !== claim.holder) continue;
        this.#claims.set(group, { ...claim, group, devices: new Set([...(there?.devices ?? []), bdf]) });
      }
    }
    this.#tell();
  }

  release(holder: Holder): void {
    if (this.#drop(holder)) this.#tell();
  }

  /** @returns whether the holder had any */
  #drop(holder: Holder): boolean {
    const held = this.all.filter((claim) => claim.holder === holder);
    for (const { group } of held) this.#claims.delete(group);
    return held.length > 0;
  }

  /** Why this device can't be handed to the holder; undefined: nothing speaks against it. */
  obstacle(device: GroupMember, holder: Holder): string | undefined {
    const rivals = this.rivals(device, new Set(), holder);
    if (rivals.length === 0) return undefined;
    const by = this.#claims.get(device.iommuGroup)?.holder ?? 'someone';
    return `IOMMU group ${device.iommuGroup} is in use through ${rivals.join(', ')} (${by})`;
  }

  /** Who has the group, if anybody. */
  of(group: number): GroupClaim | undefined {
    return this.#claims.get(group);
  }

  /** Is there a claim of which the kubelet's next lists will tell whether it begins, or ends? */
  get unsettled(): boolean {
    return this.all.some(({ confirmed, missingSince }) => !confirmed || missingSince !== undefined);
  }

  /**
   * Ends containers' claims whose devices no pod uses any more, and adds those of devices that are in use.
   *
   * @param inUse what pods have by any device plugin: the resource of each device
   */
  reconcile(inUse: ReadonlyMap<Bdf, string>, devices: readonly GroupMember[]): void {
    const ended = this.#endUnused(inUse);
    const found = this.#takeOver(inUse, devices);
    if (ended || found) this.#tell();
  }

  #endUnused(inUse: ReadonlyMap<Bdf, string>): boolean {
    let changed = false;
    for (const [group, { missingSince, ...claim }] of this.#claims) {
      if (claim.holder.startsWith('claim ')) continue;
      if ([...claim.devices].some((bdf) => inUse.has(bdf))) {
        changed ||= !claim.confirmed;
        this.#claims.set(group, { ...claim, confirmed: true });
      } else if (this.#isOver(claim, missingSince)) {
        this.#claims.delete(group);
        changed = true;
      } else if (claim.confirmed) {
        this.#claims.set(group, { ...claim, missingSince: missingSince ?? this.#now() });
      }
    }
    return changed;
  }

  /** Of a claim whose devices are not listed. */
  #isOver({ confirmed, since }: GroupClaim, missingSince = this.#now()): boolean {
    return confirmed ? this.#now() - missingSince >= GONE_MS : this.#now() - since > UNCONFIRMED_MS;
  }

  #takeOver(inUse: ReadonlyMap<Bdf, string>, devices: readonly GroupMember[]): boolean {
    let changed = false;
    for (const { bdf, iommuGroup } of devices) {
      const resource = inUse.get(bdf);
      if (resource === undefined) continue;
      const claim = this.#claims.get(iommuGroup);
      const holder = `resource ${resource}` as const;
      if (claim !== undefined && (claim.holder !== holder || claim.devices.has(bdf))) continue;
      this.#set(iommuGroup, new Set([...(claim?.devices ?? []), bdf]), holder, true);
      changed = true;
    }
    return changed;
  }

  #set(group: number, devices: ReadonlySet<Bdf>, holder: Holder, confirmed: boolean): void {
    this.#claims.set(group, { group, devices, holder, since: this.#now(), confirmed });
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** As written to disk. */
export function claimsToJson(claims: readonly GroupClaim[]): object[] {
  return claims.map((claim) => ({ ...claim, devices: [...claim.devices] }));
}

/** @returns undefined where the JSON is not what {@link claimsToJson} wrote. */
export function claimsFromJson(json: unknown): GroupClaim[] | undefined {
  if (!Array.isArray(json)) return undefined;
  const claims = json.map((item: unknown) => claimFromJson(item));
  return claims.every((claim) => claim !== undefined) ? claims : undefined;
}

function claimFromJson(json: unknown): GroupClaim | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  const { group, devices, holder, since, confirmed }: Partial<Record<keyof GroupClaim, unknown>> = json;
  if (typeof group !== 'number' || typeof since !== 'number' || typeof confirmed !== 'boolean')
    return undefined;
  if (!Array.isArray(devices) || !isHolder(holder)) return undefined;
  const bdfs = devices.map((device: unknown) => (typeof device === 'string' ? parseBdf(device) : undefined));
  return bdfs.every((bdf) => bdf !== undefined)
    ? { group, devices: new Set(bdfs), holder, since, confirmed }
    : undefined;
}

function isHolder(holder: unknown): holder is Holder {
  return typeof holder === 'string' && /^(resource|claim) ./.test(holder);
}
