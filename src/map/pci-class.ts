/** Names of PCI classes: PCI Code and ID Assignment Specification 1.16, section 1. Keys are class and subclass. */
const SUBCLASSES: Readonly<Record<number, string>> = {
  0x0100: 'SCSI controller',
  0x0104: 'RAID controller',
  0x0106: 'SATA controller',
  0x0107: 'SAS controller',
  0x0108: 'NVMe controller',
  0x0200: 'Ethernet controller',
  0x0207: 'InfiniBand controller',
  0x0280: 'Network controller',
  0x0300: 'VGA controller',
  0x0302: '3D controller',
  0x0403: 'Audio device',
  0x0600: 'Host bridge',
  0x0601: 'ISA bridge',
  0x0604: 'PCI bridge',
  0x0680: 'Bridge',
  0x0b40: 'Co-processor',
  0x0c03: 'USB controller',
  0x0c04: 'Fibre Channel controller',
  0x1000: 'Encryption controller',
  0x1200: 'Processing accelerator',
};

const CLASSES: Readonly<Record<number, string>> = {
  0x00: 'Unclassified device',
  0x01: 'Storage controller',
  0x02: 'Network controller',
  0x03: 'Display controller',
  0x04: 'Multimedia device',
  0x05: 'Memory controller',
  0x06: 'Bridge',
  0x07: 'Communication controller',
  0x08: 'System device',
  0x0c: 'Serial bus controller',
  0x12: 'Processing accelerator',
};

/** @param classCode 24 bits as in sysfs' `class`; undefined where it could not be read */
export function pciClassName(classCode: number | undefined): string {
  if (classCode === undefined) return 'PCI function of unknown class';
  return (
    SUBCLASSES[classCode >> 8] ??
    CLASSES[classCode >> 16] ??
    `Class 0x${classCode.toString(16).padStart(6, '0')}`
  );
}
