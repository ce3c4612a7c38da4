import type { ProfileDevice } from '../cluster/node-profile-schema.js';
import type { OnOff } from '../smmu/properties.js';
import { POLICY_PROPERTIES } from './policy.js';
import { modelOf } from './profile-host.js';
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
  /** By PCI ids, in their order. */
  readonly models: readonly ModelSummary[];
  readonly policies: number;
  readonly baselines: readonly BaselineSummary[];
  /** What wants a person's look. */
  readonly findings: readonly string[];
}

/** Devices of one model, over all nodes. */
export interface ModelSummary {
  /** "10de:2941" */
  readonly model: string;
  readonly devices: number;
  readonly ready: number;
  readonly ats: number;
  readonly atsUnknown: number;
  readonly nodes: number;
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
  /** "ssidsize: node2" where a value could be more without that node. */
  readonly limitedBy: readonly string[];
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
    models: summarizeModels(view.nodes),
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
    limitedBy:
      vsmmu === undefined
        ? []
        : POLICY_PROPERTIES.flatMap((property) => {
            const { limitedBy } = vsmmu[property];
            return limitedBy.length === 0 ? [] : [`${property}: ${named(limitedBy, 3)}`];
          }),
    members: members.length,
    excluded: excluded.length,
    heldBack: heldBack?.message,
  };
}

function staleFindings(stale: readonly string[]): string[] {
  if (stale.length === 0) return [];
  return [`${stale.length} profiles are stale, their agents may be dead: ${named(stale, 10)}`];
}

/** Names in a line: the first few, and how many more. */
function named(names: readonly string[], most: number): string {
  const more = names.length - most;
  return `${names.slice(0, most).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function summarizeModels(nodes: FleetView['nodes']): ModelSummary[] {
  const byModel = new Map<string, { device: ProfileDevice; node: string }[]>();
  for (const { spec } of nodes)
    for (const device of spec.devices) {
      const model = modelOf(device);
      const members = byModel.get(model) ?? [];
      if (members.push({ device, node: spec.node }) === 1) byModel.set(model, members);
    }
  return [...byModel]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([model, members]) => ({
      model,
      devices: members.length,
      ready: members.filter(({ device }) => device.ready).length,
      ats: members.filter(({ device }) => device.ats === 'yes').length,
      atsUnknown: members.filter(({ device }) => device.ats === 'unknown').length,
      nodes: new Set(members.map(({ node }) => node)).size,
    }));
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
