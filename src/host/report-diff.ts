import type { Bdf } from '../bdf.js';
import type { Answer } from '../smmu/answer.js';
import type { DeviceReport, HostReport } from './report.js';

export type ChangedValue = string | number | boolean | null | undefined;

/** What became of one function between two probes. */
export type HostChange =
  | { readonly kind: 'added' | 'removed'; readonly bdf: Bdf; readonly driver: string | undefined }
  | {
      readonly kind: 'changed';
      readonly bdf: Bdf;
      readonly fields: readonly {
        readonly name: string;
        readonly from: ChangedValue;
        readonly to: ChangedValue;
      }[];
    };

/** The facts that decide something; how they came to be known is not among them. */
const FACTS: Readonly<Record<string, (device: DeviceReport) => ChangedValue>> = {
  driver: ({ driver }) => driver,
  ready: ({ passthrough }) => passthrough.ready,
  smmu: ({ smmu }) => told(smmu),
  iommuGroup: ({ iommuGroup }) => told(iommuGroup),
  groupMembers: ({ groupMembers }) =>
    groupMembers.map(({ bdf, driver }) => `${bdf} ${driver ?? '-'}`).join(', '),
  numaNode: ({ numaNode }) => told(numaNode),
  cdev: ({ cdev }) => told(cdev),
  virtualFunctions: ({ sriov }) =>
    sriov.role === 'physical' ? sriov.virtualFunctions.join(', ') : undefined,
  kernelAts: ({ kernelAts }) => told(kernelAts),
  effectiveAts: ({ effectiveAts }) => told(effectiveAts),
  effectivePasidBits: ({ effectivePasidBits }) => told(effectivePasidBits),
};

function told(answer: Answer<string | number | boolean | null>): ChangedValue {
  return answer.known ? answer.value : 'unknown';
}

/** In the order of BDFs: what went, came or changed. */
export function diffReports(before: HostReport, after: HostReport): HostChange[] {
  const old = new Map(before.devices.map((device) => [device.bdf, device]));
  const changes: HostChange[] = [];
  for (const device of after.devices) {
    const was = old.get(device.bdf);
    old.delete(device.bdf);
    if (was === undefined) changes.push({ kind: 'added', bdf: device.bdf, driver: device.driver });
    else changes.push(...changedFields(was, device));
  }
  for (const device of old.values())
    changes.push({ kind: 'removed', bdf: device.bdf, driver: device.driver });
  return changes.sort((a, b) => (a.bdf < b.bdf ? -1 : 1));
}

function changedFields(before: DeviceReport, after: DeviceReport): HostChange[] {
  const fields = Object.entries(FACTS)
    .map(([name, fact]) => ({ name, from: fact(before), to: fact(after) }))
    .filter(({ from, to }) => from !== to);
  return fields.length === 0 ? [] : [{ kind: 'changed', bdf: after.bdf, fields }];
}
