import { parseBdf, type Bdf } from '../bdf.js';
import { known, unknown, type Answer } from '../smmu/answer.js';
import { failed, remedyFor, succeeded, type HostSource, type Read } from './host-source.js';
import { identityOf, readPciIds } from './pci-ids.js';
import type { Finding } from './report.js';
import { IOMMU_CLASS, type SmmuClass } from './smmu-class.js';

export const PCI_DEVICES = '/sys/bus/pci/devices';

/** What sysfs says of a PCI function. */
export interface SysfsDevice {
  readonly bdf: Bdf;
  readonly vendor: number | undefined;
  readonly device: number | undefined;
  readonly classCode: number | undefined;
  /** Ids of the function and its subsystem, as text for comparing: "10de:2941 10de:1a8f". */
  readonly ids: string;
  /** undefined: no driver, or not told (`driverKnown`). */
  readonly driver: string | undefined;
  readonly driverKnown: boolean;
  readonly smmu: Answer<string>;
  readonly iommuGroup: Answer<number>;
  /** Why DMA of the device would not be confined, where that is certain. */
  readonly unconfined: string | undefined;
  readonly groupMates: readonly Bdf[];
  readonly numaNode: Answer<number | null>;
  /** Names in vfio-dev; at most one on a PCI function. */
  readonly vfioName: string | undefined;
  readonly cdev: Answer<string>;
  /** The PF's address on a VF; null: it is no VF. */
  readonly physicalFunction: Answer<Bdf | null>;
  readonly findings: readonly Finding[];
}

/** What one function says of itself; its group mates are known once all functions were read. */
export function readSysfsDevice(
  source: HostSource,
  bdf: Bdf,
  smmus: SmmuClass,
): Omit<SysfsDevice, 'groupMates'> {
  const at = `${PCI_DEVICES}/${bdf}`;
  const findings: Finding[] = [];
  const damaged = (path: string, what: string) =>
    findings.push({
      code: 'SYSFS_DAMAGED',
      subject: bdf,
      message: `${path} ${what}`,
      remedy: 'Record the host again, or look at the file on the host.',
    });

  const driver = driverOf(source, at, damaged);
  const group = iommuGroup(source, at);
  const vfioName = vfioNameOf(source, at);
  const ids = readPciIds(source, at, damaged);
  return {
    bdf,
    vendor: ids.vendor,
    device: ids.device,
    classCode: ids.classCode,
    ids: identityOf(ids),
    driver: driver.ok ? driver.value : undefined,
    driverKnown: driver.ok,
    smmu: smmuName(source, at, bdf, smmus),
    iommuGroup: group,
    unconfined: vfioName.ok && vfioName.value !== undefined ? unconfined(source, at, group) : undefined,
    numaNode: numaNode(source, at, damaged),
    vfioName: vfioName.ok ? vfioName.value : undefined,
    cdev: cdevOf(source, vfioName),
    physicalFunction: physicalFunction(source, at),
    findings,
  };
}

/** undefined: no driver has it. A link to anywhere but a driver's folder is damage. */
function driverOf(
  source: HostSource,
  at: string,
  damaged: (path: string, what: string) => void,
): Read<string | undefined> {
  const link = source.readLink(`${at}/driver`);
  if (!link.ok) return link.errno === 'ENOENT' ? succeeded(undefined) : link;
  const name = /\/drivers\/([^/]+)$/.exec(link.value)?.[1];
  if (name !== undefined) return succeeded(name);
  damaged(`${at}/driver`, `leads to ${JSON.stringify(link.value.slice(0, 80))}, which is no driver`);
  return failed('EINVAL', 'its driver link leads to no driver');
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The device's own `iommu` link; on a kernel without it, the list of devices that the SMMU has. */
function smmuName(source: HostSource, at: string, bdf: Bdf, smmus: SmmuClass): Answer<string> {
  const link = source.readLink(`${at}/iommu`);
  if (link.ok) {
    const name = lastName(link.value);
    const evidence = { reading: name, source: `${at}/iommu` };
    return name.startsWith('smmu3.')
      ? known(name, evidence)
      : unknown(
          `the IOMMU in front of it, ${name}, is no SMMUv3`,
          'An accelerated arm-smmuv3 needs a host with an Arm SMMUv3.',
          evidence,
        );
  }
  const name = smmus.of(bdf);
  if (name !== undefined)
    return known(name, { reading: bdf, source: `${IOMMU_CLASS}/${name}/devices/${bdf}` });
  return link.errno === 'ENOENT'
    ? unknown(
        'the kernel shows no IOMMU in front of it',
        'Bind a driver to it, after which older kernels show it; where that changes nothing it is not behind an SMMU.',
        { reading: 'does not exist', source: `${at}/iommu` },
      )
    : unknown(link.because, remedyFor(link, 'Look at the link on the host.'));
}

function iommuGroup(source: HostSource, at: string): Answer<number> {
  const link = source.readLink(`${at}/iommu_group`);
  if (!link.ok)
    return unknown(
      link.errno === 'ENOENT' ? 'it has no IOMMU group' : link.because,
      remedyFor(link, 'Bind a driver to it: older kernels group a device only then.'),
    );
  const name = /\/iommu_groups\/(\d{1,9})$/.exec(link.value)?.[1];
  return name !== undefined
    ? known(Number(name), { reading: name, source: `${at}/iommu_group` })
    : unknown(
        `its iommu_group link leads to ${JSON.stringify(link.value.slice(0, 80))}, which is no group`,
        'Look at the link on the host, or record it again.',
      );
}

/** vfio's no-IOMMU mode makes a group of its own name around a device that nothing confines (drivers/vfio/group.c). */
function unconfined(source: HostSource, at: string, group: Answer<number>): string | undefined {
  if (!group.known) {
    const link = source.exists(`${at}/iommu_group`);
    return link.ok && !link.value ? 'no IOMMU stands in front of it' : undefined;
  }
  const path = `/sys/kernel/iommu_groups/${group.value}/name`;
  const named = source.exists(path);
  if (named.ok && !named.value) return undefined;
  const name = source.readText(path);
  return name.ok && name.value.trim() === 'vfio-noiommu' ? 'vfio has it in no-IOMMU mode' : undefined;
}

/** -1 is the kernel saying "no node"; no file at all is a kernel without CONFIG_NUMA. */
function numaNode(
  source: HostSource,
  at: string,
  damaged: (path: string, what: string) => void,
): Answer<number | null> {
  const path = `${at}/numa_node`;
  const read = source.readText(path);
  if (!read.ok)
    return unknown(
      read.errno === 'ENOENT' ? 'there is no numa_node, as with CONFIG_NUMA=n' : read.because,
      remedyFor(read, 'Use a kernel with CONFIG_NUMA where the host has several nodes.'),
      { reading: read.errno === 'ENOENT' ? 'does not exist' : read.because, source: path },
    );
  const text = read.value.trim();
  const evidence = { reading: text, source: path };
  if (text === '-1') return known(null, evidence);
  if (/^\d{1,6}$/.test(text)) return known(Number(text), evidence);
  damaged(path, `holds ${JSON.stringify(text.slice(0, 40))}, not a node`);
  return unknown(`${path} holds no node number`, 'Record the host again.');
}

function vfioNameOf(source: HostSource, at: string): Read<string | undefined> {
  const there = source.exists(`${at}/vfio-dev`);
  if (there.ok && !there.value) return succeeded(undefined);
  const names = source.list(`${at}/vfio-dev`);
  if (!names.ok) return names;
  return { ok: true, value: names.value.find((name) => /^vfio\d+$/.test(name)) };
}

/** The sysfs directory comes without the node where the kernel lacks VFIO_DEVICE_CDEV (Debian 6.12): test the node. */
function cdevOf(source: HostSource, vfioName: Read<string | undefined>): Answer<string> {
  if (!vfioName.ok || vfioName.value === undefined)
    return unknown(
      vfioName.ok || vfioName.errno === 'ENOENT' ? 'no VFIO driver has it' : vfioName.because,
      remedyFor(vfioName, 'Bind it to vfio-pci or its variant driver.'),
    );
  const path = `/dev/vfio/devices/${vfioName.value}`;
  const node = source.exists(path);
  if (node.ok && node.value) return known(path, { reading: 'exists', source: path });
  return unknown(
    node.ok ? `${path} does not exist although sysfs has ${vfioName.value}` : node.because,
    remedyFor(
      node,
      'Use a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV, and let /dev/vfio into the container.',
    ),
  );
}

function physicalFunction(source: HostSource, at: string): Answer<Bdf | null> {
  const path = `${at}/physfn`;
  const link = source.readLink(path);
  if (!link.ok && link.errno === 'ENOENT') return known(null, { reading: 'does not exist', source: path });
  const remedy = 'Look at the link on the host, or record it again.';
  if (!link.ok) return unknown(link.because, remedyFor(link, remedy));
  const pf = parseBdf(lastName(link.value));
  return pf === undefined
    ? unknown(`${path} leads to ${JSON.stringify(link.value.slice(0, 80))}, which is no function`, remedy)
    : known(pf, { reading: pf, source: path });
}
