import type { Bdf } from '../bdf.js';
import type { HostSource } from '../host/host-source.js';

const ROOT = /(?:^|\/)(pci[0-9a-f]{4,}:[0-9a-f]{2})\//;

/**
 * The root complex a device hangs on, as Kubernetes spells `resource.kubernetes.io/pcieRoot`: "pci0009:00".
 * Its directory is the first "pci…" one on the device's path; with a device tree a platform device stands before it.
 *
 * @returns undefined where sysfs has no such link.
 */
export function pcieRootOf(source: Pick<HostSource, 'readLink'>, bdf: Bdf): string | undefined {
  const link = source.readLink(`/sys/bus/pci/devices/${bdf}`);
  return link.ok ? ROOT.exec(link.value)?.[1] : undefined;
}
