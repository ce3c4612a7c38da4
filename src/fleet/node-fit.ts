import type { Bdf } from '../bdf.js';
import type { NodeProfile } from '../cluster/node-profile.js';
import type { ProfileDevice } from '../cluster/node-profile-schema.js';
import type { DeviceFeatures, SmmuFeatures } from '../smmu/features.js';
import type { AskedVsmmu, ResolvedVsmmu } from '../smmu/properties.js';
import { resolveVsmmu } from '../smmu/resolve.js';
import { defaultResourceOf } from './profile-host.js';

/** What a VMI wants of a node, beside what the scheduler looks at by itself. */
export interface NodeWish {
  /** Resource name of each device request that is one of ours; twice where two are asked for. */
  readonly resources: readonly string[];
  readonly asked: AskedVsmmu;
  /** Members of the baseline that the VMI is bound to, and why others are none; undefined: bound to none. */
  readonly baseline:
    | {
        readonly name: string;
        readonly members: ReadonlySet<string>;
        readonly excluded: ReadonlyMap<string, string>;
      }
    | undefined;
}

/** What a vSMMU in front of candidates behind one host SMMU becomes. */
export interface SmmuOutcome {
  readonly smmu: string;
  readonly candidates: readonly string[];
  readonly vsmmu: ResolvedVsmmu | undefined;
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
export function fitNode(profile: NodeProfile, wish: NodeWish): NodeFit {
  const { node } = profile;
  const candidates = candidatesOf(profile, wish.resources);
  const smmus = outcomes(profile, candidates.devices, wish.asked);
  const unresolved = smmus.filter(({ errors }) => errors.length > 0);
  const hard = [...membership(node, wish.baseline), ...candidates.missing];
  const soft = unresolved.flatMap(({ errors }) => errors);
  if (hard.length > 0) return { node, fits: 'no', reasons: hard, smmus };
  if (unresolved.length === 0) return { node, fits: 'yes', reasons: [], smmus };
  return { node, fits: unresolved.length === smmus.length ? 'no' : 'partly', reasons: soft, smmus };
}

function membership(node: string, baseline: NodeWish['baseline']): string[] {
  if (baseline === undefined || baseline.members.has(node)) return [];
  const because = baseline.excluded.get(node) ?? 'its nodeSelector does not select it';
  return [`it is no member of Baseline ${baseline.name}: ${because}`];
}

interface Candidates {
  readonly devices: readonly Bdf[];
  readonly missing: readonly string[];
}

function candidatesOf({ devices }: NodeProfile, resources: readonly string[]): Candidates {
  const wanted = new Map<string, number>();
  for (const resource of resources) wanted.set(resource, (wanted.get(resource) ?? 0) + 1);
  const found: Bdf[] = [];
  const missing: string[] = [];
  for (const [resource, count] of wanted) {
    const named = [...devices].filter(([, device]) => defaultResourceOf(device) === resource);
    const ready = named.flatMap(([bdf, device]) => (device.ready ? [bdf] : []));
    found.push(...ready);
    if (ready.length < count) {
      const unready = named.find(([, device]) => !device.ready)?.[1];
      missing.push(shortage(resource, count, ready.length, unready));
    }
  }
  return { devices: found, missing };
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
function outcomes(profile: NodeProfile, candidates: readonly Bdf[], asked: AskedVsmmu): SmmuOutcome[] {
  const behind = new Map<SmmuFeatures, DeviceFeatures[]>();
  for (const bdf of candidates) {
    const features = profile.features.devices.get(bdf);
    if (features === undefined) continue;
    behind.set(features.smmu, [...(behind.get(features.smmu) ?? []), features]);
  }
  return [...behind].map(([smmu, devices]) => {
    const resolution = resolveVsmmu(
      asked,
      devices.map((features) => ({ features, ats: 'auto', coldPlugged: true })),
    );
    return {
      smmu: smmu.name ?? 'SMMU without a name',
      candidates: devices.map(({ bdf }) => bdf),
      vsmmu: resolution.ok ? resolution.vsmmu : undefined,
      errors: resolution.ok ? [] : [...new Set(resolution.errors.map(({ message }) => message))],
    };
  });
}
