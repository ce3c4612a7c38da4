import { compareBdf, parseBdf, type Bdf } from '../bdf.js';
import { known, unknown, type Answer } from '../smmu/answer.js';
import { remedyFor, type HostSource, type Read } from './host-source.js';
import type { SriovRole } from './report.js';
import { PCI_DEVICES } from './sysfs-device.js';

const ROOT = /(?:^|\/)(pci[0-9a-f]{4,}:[0-9a-f]{2})\//;

/**
 * The root bus above a function: "pci0009:00". With a device tree a platform device stands before it on the path.
 * @param link the function's link in /sys/bus/pci/devices
 */
export function pcieRootOf(bdf: Bdf, link: Read<string>): Answer<string> {
  const path = `${PCI_DEVICES}/${bdf}`;
  if (!link.ok) return unknown(link.because, remedyFor(link, 'Look at the link on the host.'));
  const root = ROOT.exec(link.value)?.[1];
  return root === undefined
    ? unknown(`${path} leads to no root bus`, 'Look at the link on the host.')
    : known(root, { reading: link.value, source: path });
}

/** In the order in which the kernel tries them; empty: the function cannot be reset. */
export function resetMethodsOf(source: HostSource, bdf: Bdf): Answer<readonly string[]> {
  const path = `${PCI_DEVICES}/${bdf}/reset_method`;
  const read = source.readText(path);
  if (!read.ok)
    return unknown(
      read.errno === 'ENOENT'
        ? 'there is no reset_method (Linux < 5.15, or no way to reset it)'
        : read.because,
      remedyFor(read, 'Use a kernel >= 5.15.'),
    );
  const methods = read.value.trim().split(' ').filter(Boolean);
  return known(methods, { reading: methods.join(' ') || 'none', source: path });
}

export function sriovOf(source: HostSource, bdf: Bdf, physicalFunction: Bdf | undefined): SriovRole {
  if (physicalFunction !== undefined) return { role: 'virtual', physicalFunction };
  const at = `${PCI_DEVICES}/${bdf}`;
  const capable = source.exists(`${at}/sriov_totalvfs`);
  if (capable.ok && !capable.value) return { role: 'none' };
  const total = count(source, `${at}/sriov_totalvfs`);
  if (total === undefined) return { role: 'none' };
  const names = source.list(at);
  const functions = (names.ok ? names.value : [])
    .filter((name) => /^virtfn\d+$/.test(name))
    .map((name) => source.readLink(`${at}/${name}`))
    .map((link) => (link.ok ? parseBdf(link.value.slice(link.value.lastIndexOf('/') + 1)) : undefined))
    .filter((vf) => vf !== undefined)
    .sort(compareBdf);
  return {
    role: 'physical',
    total,
    enabled: count(source, `${at}/sriov_numvfs`) ?? functions.length,
    virtualFunctions: functions,
  };
}

function count(source: HostSource, path: string): number | undefined {
  const read = source.readText(path);
  return read.ok && /^\d{1,5}$/.test(read.value.trim()) ? Number(read.value) : undefined;
}
