import { setImmediate as nextTurn } from 'node:timers/promises';
import { compareBdf, parseBdf, type Bdf } from '../bdf.js';
import { known, unknown, type Answer, type Evidence } from '../smmu/answer.js';
import { atsCapabilityOf, effectiveAtsOf, kernelAtsOf } from './ats.js';
import { explainErrno, explainReply, type DeviceReplies } from './hw-info.js';
import type { HostSource } from './host-source.js';
import { kernelCommandLine, kernelRelease, kernelReportsAts } from './kernel.js';
import { effectivePasidOf, maxPasidOf } from './pasid.js';
import { isVfioBound, passthroughOf } from './passthrough.js';
import { readCapabilities, type PciCapabilities } from './pci-capabilities.js';
import type { DeviceReport, Finding, HostReport, KernelReport, SmmuReport } from './report.js';
import { reportSmmus, type SmmuReports } from './smmu-reports.js';
import { PCI_DEVICES, readSysfsDevice, type SysfsDevice } from './sysfs-device.js';

export interface ProbeOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A function as far as it is read before the whole host is understood. */
interface Surveyed {
  readonly sysfs: SysfsDevice;
  readonly config: PciCapabilities;
}

/** Functions read between two turns of the event loop. */
const BATCH = 32;

/** Reads everything there is to know of a host's PCI functions and SMMUs, each with its evidence. */
export async function probeHost(source: HostSource, options: ProbeOptions = {}): Promise<HostReport> {
  const devices = await survey(source, options.signal);
  const replies = await askDevices(source, devices, options.signal);
  const kernel = kernelReport(source, devices, replies);
  const smmus = reportSmmus(
    smmuNames(source),
    [...replies].map(([bdf, { hwInfo, cmdqv }]) => ({ bdf, smmu: nameOf(devices.get(bdf)), hwInfo, cmdqv })),
    kernel,
  );
  const named = new Map(smmus.smmus.map((smmu) => [smmu.name, smmu]));
  const sysfs = new Map([...devices].map(([bdf, device]) => [bdf, device.sysfs]));
  const reports: DeviceReport[] = [];
  for (const [bdf, device] of devices) {
    const name = nameOf(device);
    const smmu = smmus.of.get(bdf) ?? (name === undefined ? undefined : named.get(name));
    reports.push(reportDevice(device, replies.get(bdf), smmu, kernel, sysfs));
  }
  return {
    origin: source.origin,
    kernel,
    smmus: smmus.smmus,
    devices: reports,
    findings: [
      ...source.findings,
      ...nodeFindings(source, replies),
      ...collectFindings(devices, replies, smmus),
    ],
  };
}

async function survey(source: HostSource, signal: AbortSignal | undefined): Promise<Map<Bdf, Surveyed>> {
  const listed = source.list(PCI_DEVICES);
  const names = listed.ok ? listed.value.map((name) => parseBdf(name)) : [];
  const bdfs = [...new Set([...names, ...source.devicesBeyondSysfs()])].filter((bdf) => bdf !== undefined);
  const devices = new Map<Bdf, Surveyed>();
  for (const [index, bdf] of bdfs.sort(compareBdf).entries()) {
    if (index % BATCH === BATCH - 1) await nextTurn(undefined, { signal });
    devices.set(bdf, {
      sysfs: readSysfsDevice(source, bdf),
      config: readCapabilities(source.pciConfig(bdf), `config space of ${bdf}`),
    });
  }
  return devices;
}

/** Asks every device that a VFIO driver has; without sysfs, every device there may be a reply for. */
async function askDevices(
  source: HostSource,
  devices: ReadonlyMap<Bdf, Surveyed>,
  signal: AbortSignal | undefined,
): Promise<Map<Bdf, DeviceReplies>> {
  const replies = new Map<Bdf, DeviceReplies>();
  for (const [bdf, { sysfs }] of devices) {
    signal?.throwIfAborted();
    if (sysfs.driverKnown && !isVfioBound(sysfs, undefined)) continue;
    const mates = sysfs.groupMates.map((mate) => devices.get(mate)?.sysfs.vfioName);
    const asked = await source.hwInfo({
      bdf,
      vfioName: sysfs.cdev.known ? sysfs.vfioName : undefined,
      group: sysfs.iommuGroup.known ? sysfs.iommuGroup.value : undefined,
      groupVfioNames: [sysfs.vfioName, ...mates].filter((name) => name !== undefined),
    });
    const reply = withoutNode(sysfs, asked);
    if (sysfs.driverKnown || reply.hwInfo.kind !== 'not-asked') replies.set(bdf, reply);
  }
  return replies;
}

/** A device that was not asked for want of a node has that as its reason. */
function withoutNode(sysfs: SysfsDevice, replies: DeviceReplies): DeviceReplies {
  const { hwInfo } = replies;
  if (sysfs.cdev.known || sysfs.vfioName === undefined || hwInfo.kind !== 'not-asked') return replies;
  const reply = { ...hwInfo, because: sysfs.cdev.because, remedy: sysfs.cdev.remedy };
  return { ...replies, hwInfo: reply, cmdqv: reply };
}

function kernelReport(
  source: HostSource,
  devices: ReadonlyMap<Bdf, Surveyed>,
  replies: ReadonlyMap<Bdf, DeviceReplies>,
): KernelReport {
  const release = kernelRelease(source);
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
    commandLine: kernelCommandLine(source),
    reportsAts: kernelReportsAts(release, witnesses),
  };
}

function smmuNames(source: HostSource): string[] {
  const names = source.list('/sys/class/iommu');
  return names.ok ? names.value.filter((name) => name.startsWith('smmu3.')) : [];
}

function nameOf(device: Surveyed | undefined): string | undefined {
  return device?.sysfs.smmu.known === true ? device.sysfs.smmu.value : undefined;
}

function reportDevice(
  { sysfs, config }: Surveyed,
  replies: DeviceReplies | undefined,
  smmu: SmmuReport | undefined,
  kernel: KernelReport,
  devices: ReadonlyMap<Bdf, SysfsDevice>,
): DeviceReport {
  const reply = replies?.hwInfo ?? {
    kind: 'not-asked' as const,
    because: 'it is not bound to a VFIO driver, so it could not be asked',
    remedy: 'Bind it to vfio-pci or its variant driver.',
    source: '',
    code: undefined,
  };
  const kernelAts = withEvidence(kernelAtsOf(reply, kernel), replies?.evidence);
  const atsCapability = atsCapabilityOf(config.ats, kernelAts);
  const maxPasidLog2 = maxPasidOf(reply, kernel);
  return {
    bdf: sysfs.bdf,
    vendor: sysfs.vendor,
    device: sysfs.device,
    classCode: sysfs.classCode,
    driver: sysfs.driver,
    passthrough: passthroughOf(sysfs, replies?.hwInfo, devices),
    vfio: isVfioBound(sysfs, replies?.hwInfo),
    smmu: sysfs.smmu,
    smmuReport: smmu?.name,
    iommuGroup: sysfs.iommuGroup,
    groupMates: sysfs.groupMates,
    numaNode: sysfs.numaNode,
    cdev: sysfs.cdev,
    atsCapability,
    priCapability: config.pri,
    pasidCapability: config.pasid,
    kernelAts,
    maxPasidLog2,
    effectiveAts: effectiveAtsOf(registerAnswer(smmu, 'ats'), atsCapability, kernelAts),
    effectivePasidBits: effectivePasidOf(
      registerAnswer(smmu, 'ssidSize'),
      // A VF has no PASID capability of its own and uses the PF's (PCI Express Base 6.0, 9.3.7.14).
      sysfs.physicalFunction === undefined ? config.pasid : vfPasid(sysfs.physicalFunction),
      maxPasidLog2,
    ),
  };
}

function vfPasid(pf: Bdf): PciCapabilities['pasid'] {
  return unknown(`a VF shares the PASID capability of its PF ${pf}`, 'Look at the PF.');
}

function withEvidence<T>(answer: Answer<T>, more: readonly Evidence[] | undefined): Answer<T> {
  return more === undefined || more.length === 0
    ? answer
    : { ...answer, evidence: [...answer.evidence, ...more] };
}

/** What the SMMU's registers say, with the register's name as evidence. */
function registerAnswer(smmu: SmmuReport | undefined, field: 'ats'): Answer<boolean>;
function registerAnswer(smmu: SmmuReport | undefined, field: 'ssidSize'): Answer<number>;
function registerAnswer(smmu: SmmuReport | undefined, field: 'ats' | 'ssidSize'): Answer<boolean | number> {
  if (smmu === undefined) return unknown('its SMMU is not known', 'Probe the host with its sysfs.');
  const { registers } = smmu;
  if (!registers.known) return registers;
  const { decoded } = registers.value;
  const source = registers.evidence[0]?.source ?? smmu.name;
  return field === 'ats'
    ? known(decoded.ats, { reading: `IDR0[10]=${decoded.ats ? 1 : 0}`, source })
    : known(decoded.ssidSize, { reading: `IDR1[10:6]=${decoded.ssidSize}`, source });
}

/** Said once, not of every device: without /dev/iommu none can be asked. */
function nodeFindings(source: HostSource, replies: ReadonlyMap<Bdf, DeviceReplies>): Finding[] {
  const node = source.exists('/dev/iommu');
  if (replies.size === 0 || !node.ok || node.value) return [];
  const { code, because, remedy } = explainErrno('open-iommu', 'ENOENT');
  return [{ code, subject: '/dev/iommu', message: because, remedy }];
}

function collectFindings(
  devices: ReadonlyMap<Bdf, Surveyed>,
  replies: ReadonlyMap<Bdf, DeviceReplies>,
  smmus: SmmuReports,
): Finding[] {
  const findings: Finding[] = [];
  for (const [bdf, { sysfs, config }] of devices) {
    findings.push(...sysfs.findings);
    if (config.damage !== undefined)
      findings.push({
        code: 'CONFIG_SPACE_DAMAGED',
        subject: bdf,
        message: `${bdf}: ${config.damage}`,
        remedy: 'Look at the device with lspci -xxxx; a reset or a rescan of the bus may help.',
      });
    findings.push(...replyFindings(bdf, replies.get(bdf)));
  }
  return [...findings, ...smmus.findings];
}

function replyFindings(bdf: Bdf, replies: DeviceReplies | undefined): Finding[] {
  if (replies === undefined) return [];
  const { hwInfo } = replies;
  if (hwInfo.kind === 'not-asked' && hwInfo.code === undefined) return [...replies.findings];
  if (hwInfo.kind !== 'answer') {
    const { code, because, remedy } = explainReply(hwInfo);
    return [...replies.findings, { code, subject: bdf, message: `${bdf}: ${because}`, remedy }];
  }
  const problem = answerProblem(hwInfo);
  return problem === undefined ? [...replies.findings] : [...replies.findings, { ...problem, subject: bdf }];
}

function answerProblem(
  reply: Extract<DeviceReplies['hwInfo'], { kind: 'answer' }>,
): Omit<Finding, 'subject'> | undefined {
  if (reply.dataType === 0)
    return {
      code: 'PROBE_HW_INFO_NONE',
      message: `${reply.source} succeeded with data type 0: the driver tells nothing of its SMMU`,
      remedy: 'Use a kernel >= 6.13 with CONFIG_ARM_SMMU_V3_IOMMUFD=y.',
    };
  if (reply.dataType === 2 && reply.data.length < 32)
    return {
      code: 'PROBE_HW_INFO_SHORT',
      message: `${reply.source} gave ${reply.data.length} bytes`,
      remedy: 'Probe or record the host again.',
    };
  return undefined;
}
