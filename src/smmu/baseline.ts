import type { YesNoUnknown } from './answer.js';
import type { SmmuFeatures, SmmuLimits } from './features.js';
import { OAS_IMPLEMENTED, SSIDSIZE_MAX, type OnOff } from './properties.js';

/** One host of the set. */
export interface BaselineHost {
  readonly name: string;
  /** The SMMUs in front of passthrough devices. */
  readonly smmus: readonly SmmuFeatures[];
  readonly devices: readonly BaselineDevice[];
}

export interface BaselineDevice {
  /** PCI ids "vendor:device", four hex digits each: what two hosts can have in common. */
  readonly model: string;
  readonly effectiveAts: YesNoUnknown;
}

/** A value that every member can honour, and the members that keep it from being more. */
export interface Limited<T> {
  readonly value: T;
  readonly limitedBy: readonly string[];
}

export interface BaselineVsmmu {
  readonly ats: Limited<OnOff>;
  readonly ril: Limited<OnOff>;
  readonly ssidsize: Limited<number>;
  readonly oas: Limited<number>;
  readonly cmdqv: Limited<OnOff>;
}

export interface Baseline {
  /** null where no host can take part. */
  readonly vsmmu: BaselineVsmmu | null;
  /** By model; only members that have the model count. */
  readonly devices: Readonly<Record<string, { readonly ats: Limited<YesNoUnknown> }>>;
  readonly members: readonly string[];
  readonly excluded: readonly { readonly name: string; readonly reason: string }[];
}

interface Member {
  readonly name: string;
  readonly limits: SmmuLimits;
  readonly devices: readonly BaselineDevice[];
}

/**
 * The vSMMU that starts on every host of a set: on only where all have it, the smallest size of all.
 * A VM may land behind any SMMU of a host, so a host counts with the least of its usable SMMUs.
 * A host without one is left out by name. The order of hosts does not matter.
 */
export function baselineOf(hosts: readonly BaselineHost[]): Baseline {
  const members: Member[] = [];
  const excluded: { name: string; reason: string }[] = [];
  for (const host of hosts.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const limits = leastLimits(host.smmus);
    if (limits === undefined) excluded.push({ name: host.name, reason: exclusionReason(host) });
    else members.push({ name: host.name, limits, devices: host.devices });
  }
  return {
    vsmmu: members.length === 0 ? null : baselineVsmmu(members),
    devices: baselineDevices(members),
    members: members.map((member) => member.name),
    excluded,
  };
}

function leastLimits(smmus: readonly SmmuFeatures[]): SmmuLimits | undefined {
  const usable = smmus.flatMap(({ limits, obstacles }) =>
    limits === undefined || obstacles.length > 0 ? [] : [limits],
  );
  if (usable.length === 0) return undefined;
  return {
    ats: usable.every((limits) => limits.ats),
    ril: usable.every((limits) => limits.ril),
    ssidsize: Math.min(...usable.map((limits) => limits.ssidsize)),
    oas: Math.min(...usable.map((limits) => limits.oas)),
    cmdqv: usable.every((limits) => limits.cmdqv === true),
  };
}

function exclusionReason(host: BaselineHost): string {
  if (host.smmus.length === 0) return 'no SMMUv3 is in front of a passthrough device';
  const reasons = host.smmus.flatMap(({ name, obstacles }) =>
    obstacles.map(({ message }) => (name === undefined ? message : `${name}: ${message}`)),
  );
  return [...new Set(reasons)].join('; ');
}

function baselineVsmmu(members: readonly Member[]): BaselineVsmmu {
  const onWhereAll = (has: (limits: SmmuLimits) => boolean): Limited<OnOff> => {
    const limitedBy = members.filter((member) => !has(member.limits)).map((member) => member.name);
    return { value: limitedBy.length === 0 ? 'on' : 'off', limitedBy };
  };
  const smallest = (size: (limits: SmmuLimits) => number, most: number): Limited<number> => {
    const value = Math.min(most, ...members.map((member) => size(member.limits)));
    const limiting = value === most ? [] : members.filter((member) => size(member.limits) === value);
    return { value, limitedBy: limiting.map((member) => member.name) };
  };
  return {
    ats: onWhereAll((limits) => limits.ats),
    ril: onWhereAll((limits) => limits.ril),
    ssidsize: smallest((limits) => limits.ssidsize, SSIDSIZE_MAX),
    oas: smallest((limits) => implementedOas(limits.oas), Math.max(...OAS_IMPLEMENTED)),
    cmdqv: onWhereAll((limits) => limits.cmdqv === true),
  };
}

function implementedOas(hostBits: number): number {
  return OAS_IMPLEMENTED.findLast((size) => size <= hostBits) ?? OAS_IMPLEMENTED[0];
}

/** no < unknown < yes: the least of the members that have the model. */
const ATS_ORDER: readonly YesNoUnknown[] = ['no', 'unknown', 'yes'];

function baselineDevices(members: readonly Member[]): Baseline['devices'] {
  const models = new Set(members.flatMap((member) => member.devices.map((device) => device.model)));
  return Object.fromEntries(
    [...models].toSorted().map((model) => {
      const answers = members.flatMap((member) => {
        const ats = member.devices.filter((device) => device.model === model).map((d) => d.effectiveAts);
        return ats.length === 0 ? [] : [{ name: member.name, ats: leastAts(ats) }];
      });
      const value = leastAts(answers.map((answer) => answer.ats));
      const limiting = value === 'yes' ? [] : answers.filter((answer) => answer.ats === value);
      return [model, { ats: { value, limitedBy: limiting.map((answer) => answer.name) } }];
    }),
  );
}

function leastAts(answers: readonly YesNoUnknown[]): YesNoUnknown {
  return ATS_ORDER.find((ats) => answers.includes(ats)) ?? 'unknown';
}
