import type { DeviceReport } from './report.js';

/** PCI ids "vendor:device", four hex digits each; undefined where sysfs did not tell them. */
export function pciModelOf({ vendor, device }: Pick<DeviceReport, 'vendor' | 'device'>): string | undefined {
  if (vendor === undefined || device === undefined) return undefined;
  return [vendor, device].map((id) => id.toString(16).padStart(4, '0')).join(':');
}
