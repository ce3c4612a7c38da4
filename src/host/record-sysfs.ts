import { posix } from 'node:path';
import type { Bdf } from '../bdf.js';
import type { HostSource, Read } from './host-source.js';
import { KERNEL_OPTIONS } from './kernel-config.js';
import { kernelParameters } from './kernel-parameters.js';
import type { HostReport } from './report.js';
import { PCI_DEVICES } from './sysfs-device.js';
import { RECORDING_END, RECORDING_START } from './sysfs-recording.js';

/** What is recorded of a PCI function. Not here: serial_number, vpd, and everything below it (net devices, MAC addresses). */
const FILES = [
  'modalias',
  'vendor',
  'device',
  'class',
  'revision',
  'subsystem_vendor',
  'subsystem_device',
  'numa_node',
  'local_cpulist',
  'reset_method',
  'power_state',
  'd3cold_allowed',
  'current_link_speed',
  'current_link_width',
  'max_link_speed',
  'max_link_width',
  'ari_enabled',
  'dma_mask_bits',
  'resource',
  'sriov_totalvfs',
  'sriov_numvfs',
  'driver_override',
] as const;
const LINKS = ['driver', 'iommu', 'iommu_group', 'physfn'] as const;
const IORT = '/sys/firmware/acpi/tables/IORT';

/** Parameters of the command line that say something here; of all others only the name is kept. */
const TELLING = /^(?:iommu|arm-smmu|intel_iommu|amd_iommu|pcie?|vfio|kvm|hugepages|numa|acpi|mem)/;

/** The lines of sysfs.txt. Reads what the probe reads, and what a person looking into it would want beside. */
export function recordSysfs(source: HostSource, report: HostReport): string {
  const lines = new Lines(source);
  lines.add(RECORDING_START);
  const version = source.readText('/proc/version');
  if (version.ok) lines.add(`# ${oneLine(version.value)}`);
  if (report.kernel.commandLine.known)
    lines.add(`# cmdline ${redactCommandLine(report.kernel.commandLine.value)}`);
  recordKernelOptions(lines, report);
  for (const { bdf } of report.devices) recordFunction(lines, source, bdf);
  recordGroups(lines, source);
  recordIommus(lines, source);
  recordFirmware(lines, source);
  recordNodes(lines, source);
  lines.add(RECORDING_END);
  return lines.text();
}

export function redactCommandLine(line: string): string {
  return kernelParameters(line)
    .map((parameter) => {
      const [name = ''] = parameter.replace(/^"/, '').split('=');
      return TELLING.test(name) || !parameter.includes('=') ? parameter : `${name}=(redacted)`;
    })
    .join(' ');
}

class Lines {
  readonly #source: HostSource;
  readonly #lines = new Set<string>();

  constructor(source: HostSource) {
    this.#source = source;
  }

  add(line: string): void {
    this.#lines.add(line);
  }

  /** Under the path by which the kernel's links lead to it, so that they lead to it in the recording too. */
  file(path: string, as: string): void {
    const text = this.#source.readText(path);
    if (text.ok) this.add(`F ${as} mode=444 = ${JSON.stringify(text.value)}`);
    else this.unread(as, text);
  }

  link(path: string, as: string): void {
    const link = this.#source.readLink(path);
    if (!link.ok) this.unread(as, link);
    else if (!/[\n\r]/.test(link.value)) this.add(`L ${as} -> ${link.value}`);
  }

  /** A path without a line did not exist; of one that could not be read the recording must not say so. */
  unread(as: string, read: Read<unknown>): void {
    if (!read.ok && read.errno !== 'ENOENT') this.add(`W ${as} mode=000`);
  }

  names(path: string): readonly string[] {
    const names = this.#source.list(path);
    return names.ok ? names.value.filter((name) => !/[\n\r]/.test(name)) : [];
  }

  text(): string {
    return [...this.#lines].map((line) => `${line}\n`).join('');
  }
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ');
}

function recordKernelOptions(lines: Lines, { kernel }: HostReport): void {
  if (!kernel.release.known) return;
  const readings = KERNEL_OPTIONS.map((name) => kernel.options[name]).flatMap((option) =>
    option.known
      ? option.evidence.map(({ reading }) => (reading.includes('=') ? reading : `# ${reading}`))
      : [],
  );
  if (readings.length > 0)
    lines.add(
      `F /boot/config-${kernel.release.value} mode=444 = ${JSON.stringify(`${readings.join('\n')}\n`)}`,
    );
}

/** "/sys/bus/pci/devices/0000:01:00.0" -> "/sys/devices/pci0000:00/0000:01:00.0" */
function homeOf(path: string, target: string): string {
  return posix.resolve(posix.dirname(path), target);
}

function recordFunction(lines: Lines, source: HostSource, bdf: Bdf): void {
  const at = `${PCI_DEVICES}/${bdf}`;
  const link = source.readLink(at);
  if (!link.ok) return;
  lines.link(at, at);
  const home = homeOf(at, link.value);
  lines.add(`D ${home}`);
  for (const name of FILES) lines.file(`${at}/${name}`, `${home}/${name}`);
  for (const name of LINKS) lines.link(`${at}/${name}`, `${home}/${name}`);
  for (const name of lines.names(at))
    if (/^virtfn\d+$/.test(name)) lines.link(`${at}/${name}`, `${home}/${name}`);
  for (const name of lines.names(`${at}/vfio-dev`)) lines.add(`D ${home}/vfio-dev/${name}`);
  const config = source.pciConfig(bdf);
  if (config.ok) lines.add(`B ${home}/config size=${config.value.length} mode=644`);
  recordHostBridge(lines, source, home);
}

/** The device tree's word on ATS at the host bridge above. */
function recordHostBridge(lines: Lines, source: HostSource, home: string): void {
  const bridge = /^(.*?)\/pci[0-9a-f]{4,}:[0-9a-f]{2}\//.exec(home)?.[1];
  const node = `${bridge ?? ''}/of_node`;
  const link = source.readLink(node);
  if (bridge === undefined || !link.ok) return;
  lines.link(node, node);
  const target = homeOf(node, link.value);
  lines.add(`D ${target}`);
  const property = source.exists(`${node}/ats-supported`);
  if (property.ok && property.value) lines.add(`F ${target}/ats-supported mode=444 = ""`);
}

function recordGroups(lines: Lines, source: HostSource): void {
  const groups = '/sys/kernel/iommu_groups';
  const read = source.list(groups);
  for (const group of read.ok ? read.value : []) {
    for (const name of ['name', 'type', 'reserved_regions'])
      lines.file(`${groups}/${group}/${name}`, `${groups}/${group}/${name}`);
    for (const member of lines.names(`${groups}/${group}/devices`)) {
      const path = `${groups}/${group}/devices/${member}`;
      lines.link(path, path);
    }
  }
}

function recordIommus(lines: Lines, source: HostSource): void {
  const classes = '/sys/class/iommu';
  for (const name of lines.names(classes)) {
    const at = `${classes}/${name}`;
    const link = source.readLink(at);
    if (!link.ok) continue;
    lines.link(at, at);
    const home = homeOf(at, link.value);
    lines.add(`D ${home}/devices`);
    for (const device of lines.names(`${at}/devices`))
      lines.link(`${at}/devices/${device}`, `${home}/devices/${device}`);
  }
}

function recordFirmware(lines: Lines, source: HostSource): void {
  const table = source.readBytes(IORT);
  if (table.ok)
    lines.add(`F ${IORT} mode=400 = ${JSON.stringify(Buffer.from(table.value).toString('latin1'))}`);
  else lines.unread(IORT, table);
}

function recordNodes(lines: Lines, source: HostSource): void {
  const there = (path: string) => {
    const node = source.exists(path);
    if (node.ok && node.value) lines.add(`DEV ${path}`);
    // So that the recording says something of nodes even where there is none.
    else if (node.ok) lines.add(`# ${path} does not exist`);
  };
  there('/dev/iommu');
  for (const dir of ['/dev/vfio', '/dev/vfio/devices'])
    for (const name of lines.names(dir)) if (name !== 'devices') there(`${dir}/${name}`);
}
