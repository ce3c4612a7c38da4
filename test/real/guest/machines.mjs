/**
 * What QEMU emulates: command line fragments, what the guest shall do with the devices, and what is therefore true.
 * smmus: names in sysfs, which are base addresses of QEMU's memory map. atsFirmware: the device tree says that the root complex supports ATS.
 * truth: endpoints by address, as
 * `PCI-ID DRIVER SMMU NODE CAPABILITY`, where SMMU is an index of smmus, and "-" stands for none.
 * @typedef {{ machine: string, devices: string[], firmware?: boolean, nodes?: number, vfs?: string[], bind: string[], hold?: string, smmus: string[], atsFirmware?: boolean, truth: Record<string, string> }} Machine
 */

/** A device per line as QEMU's man page has it, for reading. */
const lines = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim());

/**
 * One SMMU under device tree, as far as Debian 12's QEMU goes: a two-function device, a switch, a bridge to
 * conventional PCI, and an SSD with virtual functions.
 * @type {Machine}
 */
export const ONE_SMMU = {
  machine: 'virt,gic-version=3,iommu=smmuv3',
  devices: lines(`
    pcie-root-port,id=rp1,chassis=1,addr=4
    e1000e,bus=rp1,addr=0.0,multifunction=on,romfile=
    e1000e,bus=rp1,addr=0.1,romfile=
    pcie-root-port,id=rp2,chassis=2,addr=5
    x3130-upstream,id=up,bus=rp2
    xio3130-downstream,id=down1,bus=up,chassis=3,slot=1,addr=0
    xio3130-downstream,id=down2,bus=up,chassis=4,slot=2,addr=1
    e1000e,bus=down1,romfile=
    virtio-net-pci,bus=down2,disable-legacy=on,iommu_platform=on,ats=on,romfile=
    pcie-pci-bridge,id=conventional,bus=pcie.0,addr=6
    e1000,bus=conventional,addr=1,romfile=
    pcie-root-port,id=rp3,chassis=5,addr=7
    nvme-subsys,id=ssd
    nvme,bus=rp3,serial=vsmmu,subsys=ssd,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2
  `),
  vfs: ['0000:07:00.0:2'],
  bind: ['0000:01:00.0', '0000:01:00.1', '0000:04:00.0', '0000:05:00.0', '0000:07:00.1'],
  atsFirmware: true,
  smmus: ['smmu3.0x0000000009050000'],
  truth: {
    '0000:01:00.0': '8086:10d3 vfio-pci 0 - -',
    '0000:01:00.1': '8086:10d3 vfio-pci 0 - -',
    '0000:04:00.0': '8086:10d3 vfio-pci 0 - -',
    '0000:05:00.0': '1af4:1041 vfio-pci 0 - ATS',
    '0000:06:01.0': '8086:100e e1000 0 - -',
    '0000:07:00.0': '1b36:0010 nvme 0 - -',
    '0000:07:00.1': '1b36:0010 vfio-pci 0 - -',
    '0000:07:00.2': '1b36:0010 - 0 - -',
  },
};

/**
 * Three SMMUs under UEFI and ACPI, two of them behind expander buses of two NUMA nodes; needs QEMU 10.2.
 * @type {Machine}
 */
export const THREE_SMMUS = {
  machine: 'virt,gic-version=3',
  firmware: true,
  nodes: 2,
  devices: lines(`
    arm-smmuv3,primary-bus=pcie.0
    pcie-root-port,id=rp1,chassis=1,addr=4
    e1000e,bus=rp1,addr=0.0,multifunction=on,romfile=
    e1000e,bus=rp1,addr=0.1,romfile=
    pcie-pci-bridge,id=conventional,bus=pcie.0,addr=5
    e1000,bus=conventional,addr=1,romfile=
    pxb-pcie,id=pxb1,bus_nr=16,bus=pcie.0,addr=8,numa_node=0
    arm-smmuv3,primary-bus=pxb1
    pcie-root-port,id=rp2,chassis=2,bus=pxb1,addr=0
    x3130-upstream,id=up,bus=rp2
    xio3130-downstream,id=down1,bus=up,chassis=3,slot=1,addr=0
    xio3130-downstream,id=down2,bus=up,chassis=4,slot=2,addr=1
    e1000e,bus=down1,romfile=
    virtio-net-pci,bus=down2,disable-legacy=on,iommu_platform=on,ats=on,romfile=
    pxb-pcie,id=pxb2,bus_nr=64,bus=pcie.0,addr=9,numa_node=1
    arm-smmuv3,primary-bus=pxb2,stage=nested
    pcie-root-port,id=rp3,chassis=5,bus=pxb2,addr=0
    nvme-subsys,id=ssd
    nvme,bus=rp3,serial=vsmmu,subsys=ssd,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2
    pcie-root-port,id=rp4,chassis=6,bus=pxb2,addr=1
    virtio-net-pci,bus=rp4,disable-legacy=on,iommu_platform=on,ats=on,romfile=
  `),
  vfs: ['0000:41:00.0:2'],
  bind: ['0000:01:00.0', '0000:01:00.1', '0000:13:00.0', '0000:14:00.0', '0000:41:00.1', '0000:42:00.0'],
  hold: '0000:42:00.0',
  smmus: ['smmu3.0x000000000c000000', 'smmu3.0x000000000c020000', 'smmu3.0x000000000c040000'],
  truth: {
    '0000:01:00.0': '8086:10d3 vfio-pci 0 - -',
    '0000:01:00.1': '8086:10d3 vfio-pci 0 - -',
    '0000:02:01.0': '8086:100e e1000 0 - -',
    '0000:13:00.0': '8086:10d3 vfio-pci 1 0 -',
    '0000:14:00.0': '1af4:1041 vfio-pci 1 0 ATS',
    '0000:41:00.0': '1b36:0010 nvme 2 1 -',
    '0000:41:00.1': '1b36:0010 vfio-pci 2 1 -',
    '0000:41:00.2': '1b36:0010 - 2 1 -',
    '0000:42:00.0': '1af4:1041 vfio-pci 2 1 ATS',
  },
};
