/**
 * What src/host/iommufd-uapi.ts and netlink-uapi.ts call by their own names, in the names of the headers.
 * Fields are matched by name (outDevid is out_devid), but for those listed here.
 */
export const STRUCTS = {
  BindIommufd: { c: 'vfio_device_bind_iommufd', upTo: 'token_uuid_ptr' },
  HwInfo: { c: 'iommu_hw_info', fields: { dataType: ['in_data_type', 'out_data_type'] } },
  ArmSmmuV3Info: { c: 'iommu_hw_info_arm_smmuv3' },
  Tegra241CmdqvInfo: {
    c: 'iommu_hw_info_tegra241_cmdqv',
    fields: { log2Vcmdqs: ['log2vcmdqs'], log2Vsids: ['log2vsids'] },
  },
  IoasAlloc: { c: 'iommu_ioas_alloc' },
  HwptAlloc: { c: 'iommu_hwpt_alloc' },
  ViommuAlloc: { c: 'iommu_viommu_alloc', upTo: 'data_len' },
  SockaddrNl: { c: 'sockaddr_nl' },
  Timeval: { c: 'timeval' },
};

/** Our constants, by the expression that yields them, and the header's name for each. */
export const CONSTANTS = {
  'Ioctl.vfioDeviceBindIommufd': 'VFIO_DEVICE_BIND_IOMMUFD',
  'Ioctl.iommuIoasAlloc': 'IOMMU_IOAS_ALLOC',
  'Ioctl.iommuHwptAlloc': 'IOMMU_HWPT_ALLOC',
  'Ioctl.iommuGetHwInfo': 'IOMMU_GET_HW_INFO',
  'Ioctl.iommuViommuAlloc': 'IOMMU_VIOMMU_ALLOC',
  'HwInfoFlag.inputType': 'IOMMU_HW_INFO_FLAG_INPUT_TYPE',
  'HwCapability.dirtyTracking': 'IOMMU_HW_CAP_DIRTY_TRACKING',
  'HwCapability.pciPasidExec': 'IOMMU_HW_CAP_PCI_PASID_EXEC',
  'HwCapability.pciPasidPriv': 'IOMMU_HW_CAP_PCI_PASID_PRIV',
  'HwCapability.pciAtsNotSupported': 'IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED',
  'HwInfoType.none': 'IOMMU_HW_INFO_TYPE_NONE',
  'HwInfoType.intelVtd': 'IOMMU_HW_INFO_TYPE_INTEL_VTD',
  'HwInfoType.amd': 'IOMMU_HW_INFO_TYPE_AMD',
  'HwInfoType.armSmmuV3': 'IOMMU_HW_INFO_TYPE_ARM_SMMUV3',
  'HwInfoType.tegra241Cmdqv': 'IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV',
  HWPT_ALLOC_NEST_PARENT: 'IOMMU_HWPT_ALLOC_NEST_PARENT',
  VIOMMU_TYPE_ARM_SMMUV3: 'IOMMU_VIOMMU_TYPE_ARM_SMMUV3',
};

/** Objects whose keys are the headers' names, less a prefix: each key is checked. */
const NAMED_AS_THERE = { Netlink: '', PciRegs: 'PCI_' };

/**
 * A C program that compiles exactly when the header agrees with our numbers.
 * @param {Record<string, any>} ours the exports of the modules
 */
export function assertionsFor(ours) {
  const lines = [
    '#include <stddef.h>',
    '#include <errno.h>',
    '#include <sys/ioctl.h>',
    '#include <sys/socket.h>',
    '#include <sys/time.h>',
    '#include <linux/iommufd.h>',
    '#include <linux/netlink.h>',
    '#include <linux/pci_regs.h>',
    '#include <linux/vfio.h>',
  ];
  const must = (expression) => lines.push(`_Static_assert(${expression}, "${expression}");`);
  for (const [name, { c, upTo, fields = {} }] of Object.entries(STRUCTS)) {
    const { size, offset } = ours[name];
    must(upTo === undefined ? `sizeof(struct ${c}) == ${size}` : `offsetof(struct ${c}, ${upTo}) == ${size}`);
    for (const [field, at] of Object.entries(offset))
      for (const cField of fields[field] ?? [snakeCase(field)])
        must(`offsetof(struct ${c}, ${cField}) == ${at}`);
  }
  for (const [object, prefix] of Object.entries(NAMED_AS_THERE))
    for (const [name, value] of Object.entries(ours[object])) must(`${prefix}${name} == ${value}`);
  for (const [expression, c] of Object.entries(CONSTANTS)) {
    const value = expression.split('.').reduce((object, key) => object?.[key], ours);
    if (value === undefined) throw new Error(`the source has no ${expression}`);
    must(`${c} == ${value}`);
  }
  return `${lines.join('\n')}\n`;
}

/** @returns names of structs and constants that the source has and no table above checks */
export function unchecked(ours) {
  const structs = Object.entries(ours).filter(
    ([, value]) => value?.size !== undefined && value?.offset !== undefined,
  );
  const constants = ['Ioctl', 'HwInfoFlag', 'HwCapability', 'HwInfoType'].flatMap((name) =>
    Object.keys(ours[name]).map((key) => `${name}.${key}`),
  );
  return [
    ...structs.map(([name]) => name).filter((name) => !(name in STRUCTS)),
    ...constants.filter((name) => !(name in CONSTANTS)),
  ];
}

function snakeCase(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
