import { type Baseline, type BaselineHost, baselineOf, type BaselineVsmmu } from '../smmu/baseline.js';
import type { OnOff } from '../smmu/properties.js';
import { POLICY_PROPERTIES } from './policy.js';

/** What leaving one member out would change for VMs. */
export interface LeavingOut {
  readonly node: string;
  /** "ssidsize 16 -> 20" */
  readonly gains: readonly string[];
  /** Models that no other member has. */
  readonly losesModels: readonly string[];
}

export interface KeptBaseline {
  readonly baseline: Baseline;
  readonly leavingOut: readonly LeavingOut[];
  /** Set where the values would be lower if no VM ran; `lowered` tells what would change. */
  readonly heldBack: { readonly lowered: readonly string[]; readonly by: readonly string[] } | undefined;
}

export interface KeepOptions {
  /** What was published before; undefined: nothing. */
  readonly published: BaselineVsmmu | undefined;
  /** Running VMIs that are bound to it: their vSMMUs have the published values and can't change. */
  readonly bound: readonly string[];
  readonly holdBack: boolean;
}

/**
 * The baseline to publish. Where VMs run on the published values and the hosts would now make them lower, the
 * values stay and the hosts that can't honour them are left out by name: a VM must find the same vSMMU on every
 * member. Values that would rise do so at once; running VMs have less than the members can do, which is no harm.
 */
export function keepBaseline(hosts: readonly BaselineHost[], options: KeepOptions): KeptBaseline {
  const computed = baselineOf(hosts);
  const { published, bound, holdBack } = options;
  const lowered = published === undefined ? [] : loweredProperties(published, computed.vsmmu);
  if (published === undefined || lowered.length === 0 || bound.length === 0 || !holdBack)
    return { baseline: computed, leavingOut: leavingOut(hosts, computed), heldBack: undefined };
  const honouring = hosts.filter((host) => honours(host, published));
  const kept = baselineOf(honouring);
  const fallenShort = hosts.filter((host) => !honours(host, published));
  const baseline: Baseline = {
    ...kept,
    // Every host that is left honours the published values, so these can only be as high or higher.
    vsmmu: kept.vsmmu ?? published,
    excluded: [...kept.excluded, ...fallenShort.map((host) => exclusion(host, published, computed))].toSorted(
      (a, b) => (a.name < b.name ? -1 : 1),
    ),
  };
  return { baseline, leavingOut: leavingOut(honouring, kept), heldBack: { lowered, by: bound } };
}

/** "ats on -> off", by property; empty where nothing gets lower. */
export function loweredProperties(published: BaselineVsmmu, next: BaselineVsmmu | null): string[] {
  return POLICY_PROPERTIES.flatMap((property) => {
    const before = published[property].value;
    const after = next?.[property].value;
    if (after === undefined) return [`${property} ${before} -> none`];
    return rank(after) < rank(before) ? [`${property} ${before} -> ${after}`] : [];
  });
}

function rank(value: OnOff | number): number {
  return typeof value === 'number' ? value : value === 'on' ? 1 : 0;
}

/** Can every VM with these values start on the host? */
function honours(host: BaselineHost, values: BaselineVsmmu): boolean {
  return loweredProperties(values, baselineOf([host]).vsmmu).length === 0;
}

function exclusion(host: BaselineHost, published: BaselineVsmmu, computed: Baseline) {
  const alone = baselineOf([host]);
  const reason =
    alone.vsmmu === null
      ? (computed.excluded.find(({ name }) => name === host.name)?.reason ?? 'it has no usable SMMU')
      : `would lower the values of running VMs: ${loweredProperties(published, alone.vsmmu).join(', ')}`;
  return { name: host.name, reason };
}

/**
 * Only a member that alone limits something, or alone has a model, changes anything by leaving. So few baselines are
 * computed anew, however many members there are.
 */
function leavingOut(hosts: readonly BaselineHost[], { vsmmu, members }: Baseline): LeavingOut[] {
  if (vsmmu === null || members.length < 2) return [];
  const member = new Set(members);
  const taking = hosts.filter((host) => member.has(host.name));
  const soleLimiters = POLICY_PROPERTIES.flatMap((property) => {
    const { limitedBy } = vsmmu[property];
    return limitedBy.length === 1 ? limitedBy : [];
  });
  const owners = soleOwners(taking);
  const changing = new Set([...soleLimiters, ...owners.keys()]);
  return taking
    .filter((host) => changing.has(host.name))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((host) => ({
      node: host.name,
      gains: raisedProperties(vsmmu, baselineOf(taking.filter((other) => other !== host)).vsmmu),
      losesModels: owners.get(host.name) ?? [],
    }));
}

function raisedProperties(before: BaselineVsmmu, after: BaselineVsmmu | null): string[] {
  return POLICY_PROPERTIES.flatMap((property) => {
    const [lower, higher] = [before[property].value, after?.[property].value];
    return higher !== undefined && rank(higher) > rank(lower) ? [`${property} ${lower} -> ${higher}`] : [];
  });
}

/** By host: models that it alone has. */
function soleOwners(hosts: readonly BaselineHost[]): Map<string, string[]> {
  const ownersOf = new Map<string, Set<string>>();
  for (const { name, devices } of hosts) {
    for (const { model } of devices) ownersOf.set(model, (ownersOf.get(model) ?? new Set()).add(name));
  }
  const models = new Map<string, string[]>();
  for (const [model, owners] of [...ownersOf].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const [owner] = owners;
    if (owners.size === 1 && owner !== undefined) models.set(owner, [...(models.get(owner) ?? []), model]);
  }
  return models;
}
