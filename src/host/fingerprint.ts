import type { HostSource } from './host-source.js';
import { PCI_DEVICES } from './sysfs-device.js';

/** Folders whose entries come and go with devices, beside the one of the functions themselves. */
const FOLDERS = ['/sys/class/vfio-dev', '/sys/class/iommu', '/dev/vfio', '/dev/vfio/devices'];

/**
 * Changes when a function comes or goes, a driver is bound or unbound, or a node appears: one system call for each
 * function and a few for the host. An unchanged host needs no more than that.
 */
export function fingerprint(source: Pick<HostSource, 'list' | 'readLink'>): string {
  const functions = source.list(PCI_DEVICES);
  const parts = (functions.ok ? functions.value : []).map((name) => {
    const driver = source.readLink(`${PCI_DEVICES}/${name}/driver`);
    return `${name} ${driver.ok ? driver.value : driver.errno}`;
  });
  for (const folder of FOLDERS) {
    const names = source.list(folder);
    parts.push(`${folder} ${names.ok ? names.value.join(' ') : names.errno}`);
  }
  return parts.join('\n');
}
