import type { HostSource } from './host-source.js';

/** PCI ids, 16 bits each, and the class code, 24 bits; undefined where they were not to be had. */
export interface PciIds {
  readonly vendor: number | undefined;
  readonly device: number | undefined;
  readonly subsystemVendor: number | undefined;
  readonly subsystemDevice: number | undefined;
  readonly classCode: number | undefined;
}

/** drivers/pci/pci-sysfs.c, modalias_show(): all of a function's ids in one file. */
const MODALIAS =
  /^pci:v([0-9A-F]{8})d([0-9A-F]{8})sv([0-9A-F]{8})sd([0-9A-F]{8})bc([0-9A-F]{2})sc([0-9A-F]{2})i([0-9A-F]{2})$/;

/**
 * One reading where the kernel has `modalias`; the ids' own files where it was not recorded or is garbled.
 * @param at the function's folder in sysfs
 * @param damaged hears of files that hold something else
 */
export function readPciIds(
  source: HostSource,
  at: string,
  damaged: (path: string, what: string) => void,
): PciIds {
  const alias = source.readText(`${at}/modalias`);
  const match = alias.ok ? MODALIAS.exec(alias.value.trim()) : null;
  if (match !== null) {
    const [vendor, device, subsystemVendor, subsystemDevice] = match
      .slice(1, 5)
      .map((id) => parseInt(id, 16));
    const classCode = parseInt(match.slice(5).join(''), 16);
    return { vendor, device, subsystemVendor, subsystemDevice, classCode };
  }
  if (alias.ok) damaged(`${at}/modalias`, `holds ${JSON.stringify(alias.value.slice(0, 40))}, no PCI ids`);
  const hexFile = (name: string): number | undefined => {
    const read = source.readText(`${at}/${name}`);
    if (!read.ok) return undefined;
    const text = read.value.trim();
    if (/^0x[0-9a-f]{1,8}$/i.test(text)) return Number(text);
    damaged(`${at}/${name}`, `holds ${JSON.stringify(text.slice(0, 40))}, not a hex number`);
    return undefined;
  };
  return {
    vendor: hexFile('vendor'),
    device: hexFile('device'),
    subsystemVendor: hexFile('subsystem_vendor'),
    subsystemDevice: hexFile('subsystem_device'),
    classCode: hexFile('class'),
  };
}

/** "10de:2941 10de:1a8f", for telling apart what stood at one address at different times. */
export function identityOf({ vendor, device, subsystemVendor, subsystemDevice }: PciIds): string {
  const hex = (id: number | undefined) => id?.toString(16).padStart(4, '0') ?? '-';
  return `${hex(vendor)}:${hex(device)} ${hex(subsystemVendor)}:${hex(subsystemDevice)}`;
}
