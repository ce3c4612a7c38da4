/**
 * Config space registers and capability ids by their names in include/uapi/linux/pci_regs.h, less "PCI_" (PCI Express
 * Base 6.0 chapter 7).
 */
export const PciRegs = {
  STATUS: 0x06,
  STATUS_CAP_LIST: 0x10,
  CAPABILITY_LIST: 0x34,
  CAP_ID_EXP: 0x10,
  /** All that an unprivileged opener gets (pci_read_config(), drivers/pci/pci-sysfs.c). */
  STD_HEADER_SIZEOF: 64,
  CFG_SPACE_SIZE: 256,
  CFG_SPACE_EXP_SIZE: 4096,
  EXT_CAP_ID_DSN: 0x03,
  EXT_CAP_ID_ATS: 0x0f,
  EXT_CAP_ID_SRIOV: 0x10,
  EXT_CAP_ID_PRI: 0x13,
  EXT_CAP_ID_PASID: 0x1b,
  PASID_CAP: 0x04,
  PASID_CAP_EXEC: 0x2,
  PASID_CAP_PRIV: 0x4,
  PASID_CAP_WIDTH: 0x1f00,
} as const;
