import { setImmediate as nextTurn } from 'node:timers/promises';
import { compareBdf, parseBdf, type Bdf } from '../bdf.js';
import { reportDevice, type Surveyed } from './device-report.js';
import { firmwareAtsOf, readIort } from './firmware-ats.js';
import type { DeviceReplies } from './hw-info.js';
import type { HostSource, HwInfoTarget } from './host-source.js';
import { kernelOptions } from './kernel-config.js';
import { kernelCommandLine, kernelRelease, kernelReportsAts, noAtsOf } from './kernel.js';
import { isVfioBound } from './passthrough.js';
import { readCapabilities } from './pci-capabilities.js';
import { collectFindings } from './probe-findings.js';
import type { DeviceReport, HostReport, KernelReport } from './report.js';
import { reportSmmus } from './smmu-reports.js';
import { PCI_DEVICES, readSysfsDevice, type SysfsDevice } from './sysfs-device.js';
import { Patience } from './patience.js';
import { pcieRootOf, resetMethodsOf, sriovOf } from './topology.js';

export interface ProbeOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * How long to wait for devices in all. One that has not answered by then is told as pending; where answers are
   * kept, a later probe has it. Without it every device is waited for, up to the time limits of its steps.
   */
  readonly patienceMs?: number | undefined;
}

/** Work between two turns of the event loop: an agent answers its kubelet meanwhile. */
const TURN_MS = 8;
/** IOMMU groups asked at once: a device that takes 30 s to open must not hold up the others. */
const GROUPS_AT_ONCE = 4;

/** Reads everything there is to know of a host's PCI functions and SMMUs, each with its evidence. */
export async function probeHost(source: HostSource, options: ProbeOptions = {}): Promise<HostReport> {
  const devices = await survey(source, options.signal);
  const replies = await askDevices(source, devices, options);
  const kernel = kernelReport(source, devices, replies);
  const asked = [...replies].map(([bdf, told]) => ({ bdf, smmu: nameOf(devices.get(bdf)), ...told }));
  const smmus = reportSmmus(smmuNames(source), asked, kernel);
  const named = new Map(smmus.smmus.map((smmu) => [smmu.name, smmu]));
  const sysfs = new Map([...devices].map(([bdf, device]) => [bdf, device.sysfs]));
  const reports: DeviceReport[] = [];
  const pause = pauses(options.signal);
  for (const [bdf, device] of devices) {
    await pause();
    const name = nameOf(device);
    const smmu = smmus.of.get(bdf) ?? (name === undefined ? undefined : named.get(name));
    reports.push(reportDevice(device, { replies: replies.get(bdf), smmu, kernel, devices: sysfs }));
  }
  return {
    origin: source.origin,
    kernel,
    smmus: smmus.smmus,
    devices: reports,
    findings: [...source.findings, ...collectFindings(source, devices, replies), ...smmus.findings],
  };
}

/** Gives the event loop a turn when enough time has gone by since the last. */
function pauses(signal: AbortSignal | undefined): () => Promise<void> | undefined {
  let last = performance.now();
  const pause = async () => {
    await nextTurn(undefined, { signal });
    last = performance.now();
  };
  return () => (performance.now() - last > TURN_MS ? pause() : undefined);
}

async function survey(source: HostSource, signal: AbortSignal | undefined): Promise<Map<Bdf, Surveyed>> {
  const listed = source.list(PCI_DEVICES);
  const names = listed.ok ? listed.value.map((name) => parseBdf(name)) : [];
  const bdfs = [...new Set([...names, ...source.devicesBeyondSysfs()])].filter((bdf) => bdf !== undefined);
  const iort = readIort(source);
  const devices = new Map<Bdf, Surveyed>();
  const pause = pauses(signal);
  for (const bdf of bdfs.sort(compareBdf)) {
    await pause();
    const sysfs = readSysfsDevice(source, bdf);
    devices.set(bdf, {
      sysfs,
      config: readCapabilities(source.pciConfig(bdf), `config space of ${bdf}`),
      pcieRoot: pcieRootOf(source, bdf),
      resetMethods: resetMethodsOf(source, bdf),
      sriov: sriovOf(source, bdf, sysfs.physicalFunction),
      firmwareAts: firmwareAtsOf(source, bdf, iort),
    });
  }
  return devices;
}

/**
 * Asks every device that a VFIO driver has; without sysfs, every device there may be a reply for. Members of a
 * group are asked in turn: a group has one owner at a time.
 */
async function askDevices(
  source: HostSource,
  devices: ReadonlyMap<Bdf, Surveyed>,
  { signal, patienceMs }: ProbeOptions,
): Promise<Map<Bdf, DeviceReplies>> {
  const replies = new Map<Bdf, DeviceReplies>();
  const waiting = askableGroups(devices).values();
  const patience = new Patience(patienceMs);
  const pause = pauses(signal);
  const worker = async () => {
    for (const group of waiting)
      for (const sysfs of group) {
        signal?.throwIfAborted();
        await pause();
        const ask = () => source.hwInfo(targetOf(sysfs, devices));
        const reply = withoutNode(sysfs, await patience.waitFor(ask, sysfs.bdf));
        if (sysfs.driverKnown || reply.hwInfo.kind !== 'not-asked') replies.set(sysfs.bdf, reply);
      }
  };
  await Promise.all(Array.from({ length: GROUPS_AT_ONCE }, worker));
  return new Map([...replies].sort(([a], [b]) => compareBdf(a, b)));
}

function askableGroups(devices: ReadonlyMap<Bdf, Surveyed>): SysfsDevice[][] {
  const groups = new Map<string, SysfsDevice[]>();
  for (const { sysfs } of devices.values()) {
    if (sysfs.driverKnown && !isVfioBound(sysfs, undefined)) continue;
    const key = sysfs.iommuGroup.known ? `${sysfs.iommuGroup.value}` : sysfs.bdf;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [sysfs]);
    else group.push(sysfs);
  }
  return [...groups.values()];
}

function targetOf(sysfs: SysfsDevice, devices: ReadonlyMap<Bdf, Surveyed>): HwInfoTarget {
  const mates = sysfs.groupMates.map((mate) => devices.get(mate)?.sysfs.vfioName);
  return {
    bdf: sysfs.bdf,
    ids: sysfs.ids,
    smmu: sysfs.smmu.known ? sysfs.smmu.value : undefined,
    vfioName: sysfs.cdev.known ? sysfs.vfioName : undefined,
    group: sysfs.iommuGroup.known ? sysfs.iommuGroup.value : undefined,
    groupVfioNames: [sysfs.vfioName, ...mates].filter((name) => name !== undefined),
  };
}

/** A device that was not asked for want of a node has that as its reason. */
function withoutNode(sysfs: SysfsDevice, replies: DeviceReplies): DeviceReplies {
  const { hwInfo } = replies;
  if (sysfs.cdev.known || sysfs.vfioName === undefined || hwInfo.kind !== 'not-asked') return replies;
  const reply = { ...hwInfo, because: sysfs.cdev.because, remedy: sysfs.cdev.remedy };
  return { ...replies, hwInfo: reply, cmdqv: reply, nesting: reply };
}

function kernelReport(
  source: HostSource,
  devices: ReadonlyMap<Bdf, Surveyed>,
  replies: ReadonlyMap<Bdf, DeviceReplies>,
): KernelReport {
  const release = kernelRelease(source);
  const commandLine = kernelCommandLine(source);
  const witnesses = [...replies].map(([bdf, { hwInfo }]) => {
    const device = devices.get(bdf);
    const ats = device?.config.ats;
    return {
      reply: hwInfo,
      atsCapability: ats?.known === true ? ats.value : undefined,
      virtualFunction: device?.sysfs.physicalFunction !== undefined,
    };
  });
  return {
    release,
    commandLine,
    noAts: noAtsOf(commandLine),
    reportsAts: kernelReportsAts(release, witnesses),
    options: kernelOptions(source, release),
  };
}

function smmuNames(source: HostSource): string[] {
  const names = source.list('/sys/class/iommu');
  return names.ok ? names.value.filter((name) => name.startsWith('smmu3.')) : [];
}

function nameOf(device: Surveyed | undefined): string | undefined {
  return device?.sysfs.smmu.known === true ? device.sysfs.smmu.value : undefined;
}
