import type { Bdf } from '../bdf.js';
import type { NodeProfile } from '../cluster/node-profile.js';
import type { ProfileDevice } from '../cluster/node-profile-schema.js';
import type { YesNoUnknown } from '../smmu/answer.js';
import { atsToWrite } from '../smmu/ats.js';
import type { DeviceFeatures, SmmuFeatures } from '../smmu/features.js';
import type { AskedVsmmu, OnOff, OnOffAuto, ResolvedVsmmu } from '../smmu/properties.js';
import { resolveVsmmu } from '../smmu/resolve.js';
import { defaultResourceOf, isDefaultResource } from './profile-host.js';

/** What a VMI wants of a node, beside what the scheduler looks at by itself. */
export interface NodeWish {
  /** Resource name of each device request that is one of ours; twice where two are asked for. */
  readonly resources: readonly string[];
  /** Does it also ask by ResourceClaims? Which of a node's devices these get, selectors in CEL decide. */
  readonly anyDevice?: boolean;
  /** Devices of the node that its ResourceClaims were given. */
  readonly given?: readonly Bdf[];
  readonly asked: AskedVsmmu;
  /** vfio-pci `ats` that is asked for of a device. Default auto. */
  readonly deviceAts?: (device: DeviceFeatures) => OnOffAuto;
  /** What a device counts as whose ATS the kernel cannot tell. Default unknown. */
  readonly unknownAts?: YesNoUnknown;
}

/** What is known of a node beside its profile. */
export interface NodeFacts {
  /** Why the VM may not run there, whatever its devices. */
  readonly barred?: readonly string[];
  /** Extended resources that the kubelet has, by name; undefined: not known. */
  readonly capacity?: ReadonlyMap<string, number> | undefined;
}

/** What a device's vfio-pci `ats` becomes; `auto`: nothing is written and QEMU decides. */
export interface DeviceOutcome {
  readonly bdf: string;
  readonly ats: OnOffAuto;
}

/** What a vSMMU in front of candidates behind one host SMMU becomes. */
export interface SmmuOutcome {
  readonly smmu: string;
  readonly candidates: readonly string[];
  readonly vsmmu: ResolvedVsmmu | undefined;
  /** Empty where the vSMMU can't be resolved. */
  readonly devices: readonly DeviceOutcome[];
  /** Why it can't be resolved. */
  readonly errors: readonly string[];
}

export interface NodeFit {
  readonly node: string;
  /** `partly`: whether it fits depends on which of its devices the kubelet picks. */
  readonly fits: 'yes' | 'partly' | 'no';
  readonly reasons: readonly string[];
  readonly smmus: readonly SmmuOutcome[];
}

/** Would the VM start on the node, and with what? Free or taken devices count alike: that is the scheduler's business. */
export function fitNode(profile: NodeProfile, wish: NodeWish, facts: NodeFacts = {}): NodeFit {
  const { node } = profile;
  const candidates = candidatesOf(profile, wish, facts.capacity);
  const smmus = outcomes(profile, candidates.devices, wish);
  const unresolved = smmus.filter(({ errors }) => errors.length > 0);
  const hard = [...(facts.barred ?? []), ...candidates.missing];
  const soft = [...candidates.unclear, ...unresolved.flatMap(({ errors }) => errors)];
  if (hard.length > 0) return { node, fits: 'no', reasons: hard, smmus };
  if (soft.length === 0) return { node, fits: 'yes', reasons: [], smmus };
  const none = unresolved.length === smmus.length && unresolved.length > 0;
  return { node, fits: none ? 'no' : 'partly', reasons: soft, smmus };
}

interface Candidates {
  readonly devices: readonly Bdf[];
  readonly missing: readonly string[];
  readonly unclear: readonly string[];
}

function candidatesOf(
  profile: NodeProfile,
  { resources, anyDevice = false, given = [] }: NodeWish,
  capacity: NodeFacts['capacity'],
): Candidates {
  const devices = new Set<Bdf>();
  const missing: string[] = [];
  const unclear: string[] = [];
  for (const [resource, count] of counted(resources)) {
    const { ready, unready } = devicesNamed(profile, resource);
    for (const bdf of ready) devices.add(bdf);
    // The kubelet knows what the agents' configurations make of devices; profiles tell only default names.
    const has = capacity?.get(resource) ?? (capacity === undefined ? ready.length : 0);
    if (Math.min(has, ready.length) < count)
      missing.push(shortage(resource, count, Math.min(has, ready.length), unready));
    else if (!isDefaultResource(resource))
      unclear.push(`profiles do not tell which devices are ${resource}: any of its ready ones may be`);
  }
  for (const bdf of given) {
    if (profile.devices.has(bdf)) devices.add(bdf);
    else missing.push(`its profile has no ${bdf}, which a ResourceClaim was given`);
  }
  if (anyDevice) {
    const ready = [...profile.devices].flatMap(([bdf, device]) => (device.ready ? [bdf] : []));
    for (const bdf of ready) devices.add(bdf);
    if (ready.length === 0) missing.push('it has no device that a ResourceClaim could get');
    else
      unclear.push(
        "which of its devices a ResourceClaim gets is unknown, because Kubernetes' scheduler decides by selectors: any of its ready ones may be",
      );
  }
  return { devices: [...devices], missing, unclear };
}

function counted(resources: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const resource of resources) counts.set(resource, (counts.get(resource) ?? 0) + 1);
  return counts;
}

/** A name that a configuration gave may mean any device. */
function devicesNamed({ devices }: NodeProfile, resource: string) {
  const named = isDefaultResource(resource)
    ? [...devices].filter(([, device]) => defaultResourceOf(device) === resource)
    : [...devices];
  return {
    ready: named.flatMap(([bdf, device]) => (device.ready ? [bdf] : [])),
    unready: named.find(([, device]) => !device.ready)?.[1],
  };
}

function shortage(
  resource: string,
  wanted: number,
  ready: number,
  unready: ProfileDevice | undefined,
): string {
  const why = unready?.because === undefined ? '' : ` (${unready.bdf}: ${unready.because})`;
  return `it has ${ready} of ${wanted} ${resource}${why}`;
}

/** One outcome for each SMMU that has a candidate: a vSMMU serves one of them. */
function outcomes(profile: NodeProfile, candidates: readonly Bdf[], wish: NodeWish): SmmuOutcome[] {
  const behind = new Map<SmmuFeatures, DeviceFeatures[]>();
  for (const bdf of candidates) {
    const features = profile.features.devices.get(bdf);
    if (features === undefined) continue;
    behind.set(features.smmu, [...(behind.get(features.smmu) ?? []), features]);
  }
  return [...behind].map(([smmu, devices]) => outcome(smmu, devices, wish));
}

function outcome(smmu: SmmuFeatures, devices: readonly DeviceFeatures[], wish: NodeWish): SmmuOutcome {
  const askedAts = wish.deviceAts ?? (() => 'auto' as const);
  const resolution = resolveVsmmu(
    wish.asked,
    devices.map((features) => ({ features, ats: askedAts(features), coldPlugged: true })),
  );
  const about = {
    smmu: smmu.name ?? 'SMMU without a name',
    candidates: devices.map(({ bdf }) => bdf),
  };
  if (!resolution.ok) {
    const errors = [...new Set(resolution.errors.map(({ message }) => message))];
    return { ...about, vsmmu: undefined, devices: [], errors };
  }
  const { vsmmu } = resolution;
  const written = devices.map((device): DeviceOutcome => {
    const asked = askedAts(device);
    const ats: OnOff | undefined = asked === 'auto' ? atsToWrite(vsmmu.ats, device, wish.unknownAts) : asked;
    return { bdf: device.bdf, ats: ats ?? 'auto' };
  });
  return { ...about, vsmmu, devices: written, errors: [] };
}
