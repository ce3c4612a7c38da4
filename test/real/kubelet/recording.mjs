import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A host made up for a test, in the recording format (docs/recording-format.md): every device is the only one behind
 * its root port, bound to vfio-pci with a cdev, and the kernel reports its ATS.
 * @typedef {{ bdf: string, group?: number, numa?: number, smmu?: number, device?: string, driver?: string, nodes?: boolean, ril?: boolean, ats?: boolean }} Device
 *   smmu: which of the host's SMMUs (0 by default); numa: absent is -1; nodes: false leaves out its files in /dev/vfio;
 *   ril: false is an SMMU without range invalidation; ats: false is a device whose ATS the kernel reports as not usable
 * @param {string} folder made if missing; each file is replaced at once @param {readonly Device[]} devices
 */
export async function writeRecording(folder, devices) {
  await mkdir(folder, { recursive: true });
  await replace(join(folder, 'sysfs.txt'), sysfs(devices));
  await replace(join(folder, 'iommu-hw-info.json'), JSON.stringify(devices.map(hwInfo)));
}

/** Devices 0001:01:00.0, 0002:01:00.0, ... spread evenly over NUMA nodes, one SMMU for each node. */
export function devicesOverNodes(count, numaNodes) {
  return Array.from({ length: count }, (_, i) => ({
    bdf: `${(i + 1).toString(16).padStart(4, '0')}:01:00.0`,
    numa: Math.floor((i * numaNodes) / count),
    smmu: Math.floor((i * numaNodes) / count),
  }));
}

/** The lines of sysfs.txt for these devices. @param {readonly Device[]} devices */
export function sysfsLines(devices) {
  return sysfs(devices)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
}

async function replace(file, text) {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

function sysfs(devices) {
  const smmus = [...new Set(devices.map(({ smmu = 0 }) => smmu))];
  return [
    '# Linux version 7.2.0-synthetic (vsmmu test) #1 SMP',
    ...smmus.map(
      (smmu) =>
        `L /sys/class/iommu/${smmuName(smmu)} -> ../../devices/platform/arm-smmu-v3.${smmu}.auto/iommu/${smmuName(smmu)}`,
    ),
    'D /sys/bus/pci/drivers/vfio-pci',
    ...devices.flatMap(deviceLines),
    'DEV /dev/iommu',
    'DEV /dev/vfio/vfio',
    '',
  ].join('\n');
}

function deviceLines({
  bdf,
  group = groupOf(bdf),
  numa = -1,
  smmu = 0,
  device = '0x2941',
  driver = 'vfio-pci',
  nodes = true,
}) {
  const domain = bdf.slice(0, 4);
  const port = `${domain}:00:00.0`;
  const root = `/sys/devices/pci${domain}:00`;
  const own = `${root}/${port}/${bdf}`;
  const vfio = `vfio${group}`;
  const vfioLines = [
    `D ${own}/vfio-dev/${vfio}`,
    `L /sys/class/vfio-dev/${vfio} -> ../../devices/pci${domain}:00/${port}/${bdf}/vfio-dev/${vfio}`,
    ...(nodes ? [`DEV /dev/vfio/${group}`, `DEV /dev/vfio/devices/${vfio}`] : []),
  ];
  return [
    `L /sys/bus/pci/devices/${bdf} -> ../../../devices/pci${domain}:00/${port}/${bdf}`,
    `D ${own}`,
    ...Object.entries({ vendor: '0x10de', device, class: '0x030200', numa_node: `${numa}` }).map(
      ([name, value]) => `F ${own}/${name} mode=444 = ${JSON.stringify(`${value}\n`)}`,
    ),
    `B ${own}/config size=4096 mode=644`,
    `L ${own}/driver -> ../../../../bus/pci/drivers/${driver}`,
    `L ${own}/subsystem -> ../../../../bus/pci`,
    `L ${own}/iommu -> ../../../platform/arm-smmu-v3.${smmu}.auto/iommu/${smmuName(smmu)}`,
    `L ${own}/iommu_group -> ../../../../kernel/iommu_groups/${group}`,
    `D /sys/kernel/iommu_groups/${group}/devices`,
    `L /sys/kernel/iommu_groups/${group}/devices/${bdf} -> ../../../../devices/pci${domain}:00/${port}/${bdf}`,
    `F /sys/kernel/iommu_groups/${group}/type mode=644 = "DMA-FQ\\n"`,
    ...(driver === 'vfio-pci' ? vfioLines : []),
  ];
}

function smmuName(smmu) {
  return `smmu3.0x000000000${5 + smmu}000000`;
}

function groupOf(bdf) {
  return Number.parseInt(bdf.slice(0, 4), 16);
}

/** The kernel's answer for an SMMUv3 with ATS and 20 substream id bits, and a device whose ATS it reports as usable. */
function hwInfo({ bdf, ril = true, ats = true }) {
  const idr3 = ril ? '04140000' : '04100000';
  return {
    bdf,
    query: 'default query',
    size: 40,
    flags: 0,
    in_type: 0,
    in_len: 40,
    rc: 0,
    errno: 0,
    out_data_type: 2,
    out_data_len: 40,
    max_pasid_log2: 20,
    out_capabilities: ats ? '0x7' : '0xf',
    struct_hex: `2800000000000000010000002800000000000000000000000200000014000000${ats ? '07' : '0f'}00000000000000`,
    data_hex: `00000000000000009b164c0d1005730200000000${idr3}0000000075000000b020b00402000000`,
  };
}
