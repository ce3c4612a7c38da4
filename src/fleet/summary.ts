import type { OnOff } from '../smmu/properties.js';
import type { FleetNode, FleetView } from './view.js';

/** Three missed renewals of ten minutes (src/cluster/publish-profile.ts). */
export const STALE_AFTER_MS = 35 * 60_000;

export interface FleetSummary {
  readonly nodes: {
    readonly profiles: number;
    readonly accelerated: number;
    readonly stale: readonly string[];
  };
  readonly devices: {
    readonly total: number;
    readonly ready: number;
    readonly ats: number;
    readonly atsUnknown: number;
    readonly pasid: number;
  };
  readonly policies: number;
  readonly baselines: readonly BaselineSummary[];
  /** What wants a person's look. */
  readonly findings: readonly string[];
}

export interface BaselineSummary {
  readonly name: string;
  readonly values:
    | {
        readonly ats: OnOff;
        readonly ril: OnOff;
        readonly ssidsize: number;
        readonly oas: number;
        readonly cmdqv: OnOff;
      }
    | undefined;
  readonly members: number;
  readonly excluded: number;
  /** Message of the condition HeldBack where it holds. */
  readonly heldBack: string | undefined;
}

/** @param now milliseconds since the epoch */
export function summarizeFleet(view: FleetView, now: number): FleetSummary {
  const devices = view.nodes.flatMap(({ spec }) => spec.devices);
  const count = (holds: (device: (typeof devices)[number]) => boolean) => devices.filter(holds).length;
  const stale = view.nodes
    .filter((node) => isStale(node, now))
    .map(({ spec }) => spec.node)
    .toSorted();
  const baselines = [...view.baselines]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, status]) => summarizeBaseline(name, status));
  return {
    nodes: {
      profiles: view.nodes.length,
      accelerated: view.nodes.filter(({ spec }) => spec.summary.accel > 0).length,
      stale,
    },
    devices: {
      total: devices.length,
      ready: count(({ ready }) => ready),
      ats: count(({ ats }) => ats === 'yes'),
      atsUnknown: count(({ ats }) => ats === 'unknown'),
      pasid: count(({ pasidBits = 0 }) => pasidBits > 0),
    },
    policies: view.policies.length,
    baselines,
    findings: [...staleFindings(stale), ...baselines.flatMap(baselineFindings), ...missingBaselines(view)],
  };
}

/** Never renewed counts as fresh: a recording, or an agent that has not come that far. */
export function isStale({ profile: { renewedAt } }: Pick<FleetNode, 'profile'>, now: number): boolean {
  return renewedAt !== undefined && now - renewedAt > STALE_AFTER_MS;
}

function summarizeBaseline(
  name: string,
  {
    vsmmu,
    members,
    excluded,
    conditions,
  }: FleetView['baselines'] extends ReadonlyMap<string, infer S> ? S : never,
): BaselineSummary {
  const heldBack = conditions.find(({ type, status }) => type === 'HeldBack' && status === 'True');
  return {
    name,
    values: vsmmu && {
      ats: vsmmu.ats.value,
      ril: vsmmu.ril.value,
      ssidsize: vsmmu.ssidsize.value,
      oas: vsmmu.oas.value,
      cmdqv: vsmmu.cmdqv.value,
    },
    members: members.length,
    excluded: excluded.length,
    heldBack: heldBack?.message,
  };
}

function staleFindings(stale: readonly string[]): string[] {
  if (stale.length === 0) return [];
  const some = stale.slice(0, 10).join(', ');
  return [
    `${stale.length} profiles are stale, their agents may be dead: ${some}${stale.length > 10 ? ', …' : ''}`,
  ];
}

function baselineFindings({ name, values, heldBack }: BaselineSummary): string[] {
  return [
    ...(values === undefined ? [`Baseline ${name} has no member`] : []),
    ...(heldBack === undefined ? [] : [`Baseline ${name} is held back: ${heldBack}`]),
  ];
}

function missingBaselines({ policies, baselines }: FleetView): string[] {
  return policies.flatMap(({ name, baseline }) =>
    baseline === undefined || baselines.has(baseline)
      ? []
      : [`Policy ${name} names Baseline ${baseline}, which does not exist`],
  );
}
