import { isBridge } from '../host/passthrough.js';
import type { DeviceReport, HostReport, SmmuReport } from '../host/report.js';
import { type Answer, type YesNoUnknown, yesNo } from '../smmu/answer.js';
import type { HostMap, MapDevice, MapFact, MapGroup, MapRoot, MapSmmu } from './host-map.js';
import { pciClassName } from './pci-class.js';

/** The topology of a probed host. Order is that of the report, so that two probes of one host draw the same picture. */
export function mapOfReport(report: HostReport): HostMap {
  const { release, reportsAts } = report.kernel;
  const behindNone = report.devices.filter((device) => device.smmuReport === undefined);
  return {
    title: report.origin,
    subtitle: `Linux ${release.known ? release.value : 'of unknown version'} · ${kernelAtsText(reportsAts)}`,
    smmus: [
      ...report.smmus.map((smmu) =>
        mapSmmu(
          smmu,
          report.devices.filter((device) => device.smmuReport === smmu.name),
        ),
      ),
      ...(behindNone.length === 0
        ? []
        : [{ label: 'No SMMUv3 in front', facts: [], notes: [], roots: mapRoots(behindNone) }]),
    ],
    findings: report.findings.map(({ code, message }) => `${code}: ${message}`),
  };
}

function kernelAtsText(reportsAts: Answer<boolean>): string {
  if (!reportsAts.known) return 'whether the kernel reports ATS is unknown';
  return reportsAts.value ? 'the kernel reports ATS' : 'the kernel does not report ATS';
}

function mapSmmu(smmu: SmmuReport, devices: readonly DeviceReport[]): MapSmmu {
  const { limits } = smmu.features;
  const { registers } = smmu;
  const readings = becauseOf(registers);
  const flag = (label: string, value: boolean | undefined): MapFact => ({
    label,
    ...(value === undefined ? UNKNOWN : value ? YES : NO),
    because: readings,
  });
  const size = (label: string, value: number | undefined, unit = ''): MapFact => ({
    label,
    ...(value === undefined ? UNKNOWN : { state: value > 0 ? 'yes' : 'no', text: `${value}${unit}` }),
    because: readings,
  });
  return {
    label: smmu.named ? smmu.name : `SMMUv3 without a name (${smmu.name})`,
    facts: [
      answerFact('accel', smmu.accel),
      flag('ATS', limits?.ats),
      flag('RIL', limits?.ril),
      size('SSIDSIZE', limits?.ssidsize),
      size('OAS', limits?.oas, ' bits'),
      answerFact('CMDQV', smmu.cmdqv),
    ],
    notes: smmuNotes(smmu),
    roots: mapRoots(devices),
  };
}

const UNKNOWN: Pick<MapFact, 'state' | 'text'> = { state: 'unknown', text: 'unknown' };
const YES: Pick<MapFact, 'state' | 'text'> = { state: 'yes', text: 'yes' };
const NO: Pick<MapFact, 'state' | 'text'> = { state: 'no', text: 'no' };

function answerFact(label: string, answer: Answer<boolean>): MapFact {
  const state: YesNoUnknown = yesNo(answer);
  return { label, state, text: state, because: becauseOf(answer) };
}

function becauseOf(answer: Answer<unknown>): string {
  if (!answer.known) return answer.because;
  return [...new Set(answer.evidence.map(({ reading }) => reading))].join(', ');
}

function smmuNotes({ registers, features, cmdqv }: SmmuReport): string[] {
  const unread = registers.known ? [] : [`Registers unknown: ${registers.because}.`];
  const obstacles = features.obstacles.map(({ message }) => `No accel: ${message}.`);
  const queue = cmdqv.known || !registers.known ? [] : [`CMDQV unknown: ${cmdqv.because}.`];
  return [...new Set([...unread, ...(registers.known ? obstacles : []), ...queue])].map(withOneStop);
}

function withOneStop(text: string): string {
  return text.replace(/\.+$/, '.');
}

function mapRoots(devices: readonly DeviceReport[]): MapRoot[] {
  const byRoot = groupBy(devices, ({ bdf, pcieRoot }) =>
    pcieRoot.known ? `Root complex ${pcieRoot.value}` : `PCI domain ${bdf.split(':', 1)[0] ?? ''}`,
  );
  return [...byRoot].map(([label, members]) => ({ label, groups: mapGroups(members) }));
}

function mapGroups(devices: readonly DeviceReport[]): MapGroup[] {
  const byGroup = groupBy(devices, ({ iommuGroup }) =>
    iommuGroup.known ? `IOMMU group ${iommuGroup.value}` : 'IOMMU group unknown',
  );
  return [...byGroup].map(([label, members]) => ({ label, devices: members.map(mapDevice) }));
}

function mapDevice(device: DeviceReport): MapDevice {
  const { passthrough, effectiveAts, effectivePasidBits: pasid, numaNode } = device;
  const bridge = isBridge(device);
  const numa = numaNode.known && numaNode.value !== null ? [`NUMA ${numaNode.value}`] : [];
  const facts: MapFact[] = [
    answerFact('ATS', effectiveAts),
    {
      label: 'PASID',
      ...(pasid.known ? { state: pasid.value > 0 ? 'yes' : 'no', text: `${pasid.value} bits` } : UNKNOWN),
      because: becauseOf(pasid),
    },
  ];
  return {
    bdf: device.bdf,
    kind: pciClassName(device.classCode),
    detail: [`${hex(device.vendor)}:${hex(device.device)}`, device.driver ?? 'no driver', ...numa].join(
      ' · ',
    ),
    bridge,
    ready: passthrough.ready,
    facts: bridge ? [] : facts,
    notes: bridge ? [] : deviceNotes(device),
  };
}

function deviceNotes({ passthrough, effectiveAts, effectivePasidBits: pasid }: DeviceReport): string[] {
  return [
    ...(passthrough.ready ? [] : [`Not ready: ${passthrough.reason}.`]),
    ...(effectiveAts.known ? [] : [`ATS unknown: ${effectiveAts.because}.`]),
    ...(pasid.known ? [] : [`PASID unknown: ${pasid.because}.`]),
  ].map(withOneStop);
}

function hex(id: number | undefined): string {
  return id === undefined ? '????' : id.toString(16).padStart(4, '0');
}

/** In order of first appearance. */
function groupBy<T>(all: readonly T[], labelOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const label = labelOf(one);
    const members = groups.get(label);
    if (members === undefined) groups.set(label, [one]);
    else members.push(one);
  }
  return groups;
}
