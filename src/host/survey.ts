import { compareBdf, parseBdf, type Bdf } from '../bdf.js';
import type { Answer } from '../smmu/answer.js';
import type { Surveyed } from './device-report.js';
import { FirmwareAts } from './firmware-ats.js';
import type { HostSource } from './host-source.js';
import { kernelRelease } from './kernel.js';
import { isVfioBound } from './passthrough.js';
import { readCapabilities } from './pci-capabilities.js';
import { SmmuClass } from './smmu-class.js';
import { PCI_DEVICES, readSysfsDevice, type SysfsDevice } from './sysfs-device.js';
import { pcieRootOf, resetMethodsOf, sriovOf } from './topology.js';
import { turns } from './turns.js';

export interface Survey {
  /** The kernel's. */
  readonly release: Answer<string>;
  /** In the order of addresses. */
  readonly devices: ReadonlyMap<Bdf, Surveyed>;
  /** SMMUs that sysfs lists, also those with nothing behind them. */
  readonly smmus: readonly string[];
}

/** A function before its group mates are known. */
type Ungrouped = Omit<SysfsDevice, 'groupMates'>;

/** Reads sysfs and config space of every function; asks no device anything. */
export async function surveyHost(source: HostSource, signal: AbortSignal | undefined): Promise<Survey> {
  const firmware = new FirmwareAts(source);
  const smmus = new SmmuClass(source);
  const release = kernelRelease(source);
  const read = new Map<Bdf, Omit<Surveyed, 'sysfs'> & { readonly sysfs: Ungrouped }>();
  const turn = turns(signal);
  for (const bdf of functionsOf(source)) {
    await turn();
    const sysfs = readSysfsDevice(source, bdf, smmus);
    const link = source.readLink(`${PCI_DEVICES}/${bdf}`);
    read.set(bdf, {
      sysfs,
      config: readCapabilities(source.pciConfig(bdf), `config space of ${bdf}`),
      pcieRoot: pcieRootOf(bdf, link),
      resetMethods: resetMethodsOf(source, bdf, release),
      sriov: sriovOf(source, bdf, sysfs.physicalFunction),
      firmwareAts: firmware.of(bdf, link),
    });
  }
  const members = groupMembers([...read.values()].map(({ sysfs }) => sysfs));
  const devices = new Map<Bdf, Surveyed>();
  for (const [bdf, surveyed] of read) {
    await turn();
    const groupMates = matesOf(source, surveyed.sysfs, members);
    devices.set(bdf, { ...surveyed, sysfs: { ...surveyed.sysfs, groupMates } });
  }
  return { release, devices, smmus: smmus.names };
}

function functionsOf(source: HostSource): Bdf[] {
  const listed = source.list(PCI_DEVICES);
  const names = listed.ok ? listed.value.map((name) => parseBdf(name)) : [];
  const bdfs = [...new Set([...names, ...source.devicesBeyondSysfs()])];
  return bdfs.filter((bdf) => bdf !== undefined).sort(compareBdf);
}

/** Who is in each IOMMU group, as the functions' own links say. */
function groupMembers(functions: readonly Ungrouped[]): Map<number, Bdf[]> {
  const groups = new Map<number, Bdf[]>();
  for (const { bdf, iommuGroup } of functions) {
    if (!iommuGroup.known) continue;
    const members = groups.get(iommuGroup.value);
    if (members === undefined) groups.set(iommuGroup.value, [bdf]);
    else members.push(bdf);
  }
  return groups;
}

/**
 * Of a device that could be passed through, the kernel's own list of the group counts beside: a mate whose link
 * could not be read must not be overlooked.
 */
function matesOf(source: HostSource, self: Ungrouped, members: ReadonlyMap<number, readonly Bdf[]>): Bdf[] {
  if (!self.iommuGroup.known) return [];
  const { value: group } = self.iommuGroup;
  const mates = new Set(members.get(group));
  if (isVfioBound(self, undefined)) {
    const listed = source.list(`/sys/kernel/iommu_groups/${group}/devices`);
    for (const name of listed.ok ? listed.value : []) {
      const bdf = parseBdf(name);
      if (bdf !== undefined) mates.add(bdf);
    }
  }
  mates.delete(self.bdf);
  return [...mates].sort(compareBdf);
}
