import { compareBdf, type Bdf } from '../bdf.js';
import { reportDevice, type Surveyed } from './device-report.js';
import type { DeviceReplies } from './hw-info.js';
import type { HostSource, HwInfoTarget } from './host-source.js';
import { kernelOptions } from './kernel-config.js';
import { kernelCommandLine, kernelReportsAts, noAtsOf } from './kernel.js';
import { isVfioBound } from './passthrough.js';
import { collectFindings } from './probe-findings.js';
import type { DeviceReport, HostReport, KernelReport } from './report.js';
import { reportSmmus } from './smmu-reports.js';
import { surveyHost } from './survey.js';
import type { SysfsDevice } from './sysfs-device.js';
import { Patience } from './patience.js';
import { turns } from './turns.js';
import type { Answer } from '../smmu/answer.js';

export interface ProbeOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * How long to wait for devices in all. One that has not answered by then is told as pending; where answers are
   * kept, a later probe has it. Without it every device is waited for, up to the time limits of its steps.
   */
  readonly patienceMs?: number | undefined;
}

/** IOMMU groups asked at once; more only where some are slow. */
export const LANES = 4;
/** A group that takes longer leaves its lane to the next: devices that take 30 s to open hold up no others. */
const SLOW_MS = 1_000;

/** Reads everything there is to know of a host's PCI functions and SMMUs, each with its evidence. */
export async function probeHost(source: HostSource, options: ProbeOptions = {}): Promise<HostReport> {
  const { release, devices, smmus: names } = await surveyHost(source, options.signal);
  const replies = await askDevices(source, devices, options);
  const turn = turns(options.signal);
  const kernel = kernelReport(source, release, devices, replies);
  await turn();
  const asked = [...replies].map(([bdf, told]) => ({ bdf, smmu: nameOf(devices.get(bdf)), ...told }));
  const smmus = reportSmmus(names, asked, kernel);
  const named = new Map(smmus.smmus.map((smmu) => [smmu.name, smmu]));
  const sysfs = new Map([...devices].map(([bdf, device]) => [bdf, device.sysfs]));
  const reports: DeviceReport[] = [];
  for (const [bdf, device] of devices) {
    await turn();
    const name = nameOf(device);
    const smmu = smmus.of.get(bdf) ?? (name === undefined ? undefined : named.get(name));
    reports.push(
      reportDevice(device, {
        replies: replies.get(bdf),
        smmu,
        kernel,
        devices: sysfs,
        physicalFunction: physicalFunctionOf(device, devices),
      }),
    );
  }
  await turn();
  return {
    origin: source.origin,
    kernel,
    smmus: smmus.smmus,
    devices: reports,
    findings: [...source.findings, ...collectFindings(source, devices, replies), ...smmus.findings],
  };
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
  const groups = askableGroups(devices).values();
  const patience = new Patience(patienceMs);
  const turn = turns(signal);
  const askGroup = async (group: readonly SysfsDevice[]) => {
    for (const sysfs of group) {
      if (signal?.aborted === true) return;
      const ask = () => source.hwInfo(targetOf(sysfs, devices), signal);
      const reply = withoutNode(sysfs, await patience.waitFor(ask, sysfs.bdf));
      if (sysfs.driverKnown || reply.hwInfo.kind !== 'not-asked') replies.set(sysfs.bdf, reply);
    }
  };
  const asking: Promise<void>[] = [];
  const lane = async () => {
    for (const group of groups) {
      await turn();
      const asked = askGroup(group);
      asked.catch(() => undefined);
      asking.push(asked);
      await atMost(asked, SLOW_MS);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await Promise.all(asking);
  signal?.throwIfAborted();
  return new Map([...replies].sort(([a], [b]) => compareBdf(a, b)));
}

/** Resolves with the work or when the time is over, whichever comes first. */
function atMost(work: Promise<void>, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
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
  release: Answer<string>,
  devices: ReadonlyMap<Bdf, Surveyed>,
  replies: ReadonlyMap<Bdf, DeviceReplies>,
): KernelReport {
  const commandLine = kernelCommandLine(source);
  const witnesses = [...replies].map(([bdf, { hwInfo }]) => {
    const device = devices.get(bdf);
    const ats = device?.config.ats;
    return {
      reply: hwInfo,
      atsCapability: ats?.known === true ? ats.value : undefined,
      ordinary: device?.sysfs.physicalFunction.known === true && device.sysfs.physicalFunction.value === null,
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

function physicalFunctionOf({ sysfs }: Surveyed, devices: ReadonlyMap<Bdf, Surveyed>): Surveyed | undefined {
  const { physicalFunction: pf } = sysfs;
  return pf.known && pf.value !== null ? devices.get(pf.value) : undefined;
}

function nameOf(device: Surveyed | undefined): string | undefined {
  return device?.sysfs.smmu.known === true ? device.sysfs.smmu.value : undefined;
}
