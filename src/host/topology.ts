import { compareBdf, parseBdf, type Bdf } from '../bdf.js';
import { known, unknown, type Answer } from '../smmu/answer.js';
import { failed, remedyFor, succeeded, type HostSource, type Read } from './host-source.js';
import { releaseAtLeast } from './kernel.js';
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

/**
 * In the order in which the kernel tries them; empty: the function cannot be reset, for which a kernel that knows the file
 * (Linux 5.15) does not show it (pci_dev_reset_method_attr_is_visible(), drivers/pci/pci.c).
 */
export function resetMethodsOf(
  source: HostSource,
  bdf: Bdf,
  release: Answer<string>,
): Answer<readonly string[]> {
  const path = `${PCI_DEVICES}/${bdf}/reset_method`;
  const read = source.readText(path);
  if (read.ok) {
    const methods = read.value.trim().split(' ').filter(Boolean);
    return known(methods, { reading: methods.join(' ') || 'none', source: path });
  }
  const remedy = remedyFor(read, 'Use a kernel >= 5.15.');
  if (read.errno !== 'ENOENT') return unknown(read.because, remedy);
  const shows = releaseAtLeast(release, 5, 15);
  const there = source.exists(`${PCI_DEVICES}/${bdf}`);
  if (shows === true && there.ok && there.value)
    return known([], { reading: 'does not exist, as of a function without a way to reset it', source: path });
  return unknown('there is no reset_method (Linux < 5.15, or no way to reset it)', remedy);
}

/** @param physicalFunction of a VF; null: it is none */
export function sriovOf(source: HostSource, bdf: Bdf, physicalFunction: Answer<Bdf | null>): SriovRole {
  if (!physicalFunction.known) {
    const { because, remedy } = physicalFunction;
    return { role: 'unknown', because, remedy };
  }
  if (physicalFunction.value !== null) return { role: 'virtual', physicalFunction: physicalFunction.value };
  const at = `${PCI_DEVICES}/${bdf}`;
  const capable = source.exists(`${at}/sriov_totalvfs`);
  if (capable.ok && !capable.value) return { role: 'none' };
  const total = count(source, `${at}/sriov_totalvfs`);
  if (!total.ok) {
    if (total.errno === 'ENOENT') return { role: 'none' };
    const remedy = remedyFor(total, 'Look at the file on the host, or record it again.');
    return { role: 'unknown', because: total.because, remedy };
  }
  const names = source.list(at);
  const functions = (names.ok ? names.value : [])
    .filter((name) => /^virtfn\d+$/.test(name))
    .map((name) => source.readLink(`${at}/${name}`))
    .map((link) => (link.ok ? parseBdf(link.value.slice(link.value.lastIndexOf('/') + 1)) : undefined))
    .filter((vf) => vf !== undefined)
    .sort(compareBdf);
  const enabled = count(source, `${at}/sriov_numvfs`);
  return {
    role: 'physical',
    total: total.value,
    enabled: enabled.ok ? enabled.value : functions.length,
    virtualFunctions: functions,
  };
}

function count(source: HostSource, path: string): Read<number> {
  const read = source.readText(path);
  if (!read.ok) return read;
  const text = read.value.trim();
  return /^\d{1,5}$/.test(text) ? succeeded(Number(text)) : failed('EINVAL', `${path} holds no number`);
}
