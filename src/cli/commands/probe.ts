import { ExitStatus } from '../../errors.js';
import { openHost } from '../../host/open-host.js';
import { probeHost } from '../../host/probe.js';
import type { DeviceReport, Finding, HostReport, SmmuReport } from '../../host/report.js';
import { yesNo, type Answer } from '../../smmu/answer.js';
import type { CliIo } from '../io.js';
import { renderData, renderTable, type OutputFormat } from '../output.js';
import { waiting } from '../waiting.js';
import { write } from '../write.js';

export interface ProbeCommandOptions {
  /** A recording's folder; the live host where undefined. */
  readonly host?: string | undefined;
  /** Also devices that no VFIO driver has. */
  readonly all: boolean;
  /** Ask idle devices again, which resets them, instead of taking what they answered since boot. */
  readonly fresh?: boolean | undefined;
  readonly output: OutputFormat;
}

/** Version of the JSON and YAML output (docs/probe.md). */
const FORMAT = 1;

/** `vsmmu probe`: what this host's SMMUs and devices can do. Findings go to stderr in a table, and into the data otherwise. */
export async function runProbe(options: ProbeCommandOptions, io: CliIo): Promise<ExitStatus> {
  const source = await openHost({ host: options.host, fresh: options.fresh });
  let report: HostReport;
  try {
    report = await waiting(io, 'asking the kernel about devices', probeHost(source, { signal: io.signal }));
  } finally {
    await source.close();
  }
  const devices = report.devices.filter((device) => options.all || device.vfio);
  if (options.output === 'table') {
    await write(io.stdout, renderReport({ ...report, devices }, options.all));
    await write(io.stderr, report.findings.map(renderFinding).join(''));
  } else {
    await write(io.stdout, await renderData(options.output, { format: FORMAT, ...report, devices }));
  }
  return report.findings.length === 0 ? ExitStatus.ok : ExitStatus.findings;
}

function renderReport(report: HostReport, all: boolean): string {
  const kernel = report.kernel.release.known ? report.kernel.release.value : 'unknown';
  const head = `${report.origin}: kernel ${kernel}, reports ATS: ${yesNo(report.kernel.reportsAts)}\n`;
  const devices =
    report.devices.length > 0
      ? renderTable(deviceColumns(all), report.devices)
      : 'No device is bound to a VFIO driver (--all lists the others).\n';
  const smmus =
    report.smmus.length > 0 ? renderTable(SMMU_COLUMNS, report.smmus) : 'No SMMUv3 is shown by the kernel.\n';
  return [head, smmus, devices, renderEvidence(report)].join('\n');
}

const SMMU_COLUMNS = [
  { title: 'SMMU', cell: (smmu: SmmuReport) => smmu.name },
  { title: 'ACCEL', cell: (smmu: SmmuReport) => yesNo(smmu.accel) },
  { title: 'ATS', cell: (smmu: SmmuReport) => flag(smmu.features.limits?.ats) },
  { title: 'RIL', cell: (smmu: SmmuReport) => flag(smmu.features.limits?.ril) },
  { title: 'SSIDSIZE', cell: (smmu: SmmuReport) => `${smmu.features.limits?.ssidsize ?? 'unknown'}` },
  { title: 'OAS', cell: (smmu: SmmuReport) => `${smmu.features.limits?.oas ?? 'unknown'}` },
  { title: 'CMDQV', cell: (smmu: SmmuReport) => yesNo(smmu.cmdqv) },
] as const;

function deviceColumns(all: boolean) {
  const columns = [
    { title: 'DEVICE', cell: (device: DeviceReport) => device.bdf },
    { title: 'ID', cell: (device: DeviceReport) => `${id(device.vendor)}:${id(device.device)}` },
    { title: 'DRIVER', cell: (device: DeviceReport) => device.driver ?? '-' },
    { title: 'SMMU', cell: (device: DeviceReport) => device.smmuReport ?? '-' },
    { title: 'GROUP', cell: (device: DeviceReport) => shown(device.iommuGroup) },
    { title: 'MATES', cell: (device: DeviceReport) => device.groupMates.join(',') || '-' },
    { title: 'NUMA', cell: (device: DeviceReport) => shown(device.numaNode, 'none') },
    { title: 'CDEV', cell: (device: DeviceReport) => shown(device.cdev) },
    { title: 'ATS', cell: (device: DeviceReport) => yesNo(device.effectiveAts) },
    { title: 'PASID', cell: (device: DeviceReport) => shown(device.effectivePasidBits) },
    { title: 'READY', cell: (device: DeviceReport) => (device.passthrough.ready ? 'yes' : 'no') },
  ];
  return all ? [...columns, { title: 'WHY NOT', cell: whyNot }] : columns;
}

function whyNot(device: DeviceReport): string {
  return device.passthrough.ready ? '' : device.passthrough.reason;
}

function flag(value: boolean | undefined): string {
  return value === undefined ? 'unknown' : value ? 'yes' : 'no';
}

function id(value: number | undefined): string {
  return value === undefined ? '????' : value.toString(16).padStart(4, '0');
}

function shown(answer: Answer<string | number | null>, none = '-'): string {
  if (!answer.known) return 'unknown';
  return answer.value === null ? none : String(answer.value);
}

/** Why each answer is what it is, one line each. */
function renderEvidence(report: HostReport): string {
  const rows = [
    evidenceRow('kernel', 'reports ATS', report.kernel.reportsAts),
    ...report.smmus.flatMap((smmu) => [
      evidenceRow(smmu.name, 'accel', smmu.accel),
      evidenceRow(smmu.name, 'registers', smmu.registers, 'read'),
      evidenceRow(smmu.name, 'CMDQV', smmu.cmdqv),
    ]),
    ...report.devices
      .filter((device) => device.vfio)
      .flatMap((device) => [
        evidenceRow(device.bdf, 'ATS', device.effectiveAts),
        evidenceRow(device.bdf, 'PASID', device.effectivePasidBits),
      ]),
  ];
  return renderTable(
    [
      { title: 'OF', cell: (row: EvidenceRow) => row.subject },
      { title: 'ANSWER', cell: (row: EvidenceRow) => row.answer },
      { title: 'BECAUSE', cell: (row: EvidenceRow) => row.because },
    ],
    rows,
  );
}

interface EvidenceRow {
  readonly subject: string;
  readonly answer: string;
  readonly because: string;
}

function evidenceRow(subject: string, what: string, answer: Answer<unknown>, knownAs?: string): EvidenceRow {
  const readings = [...new Set(answer.evidence.map(({ reading }) => reading))].join(', ');
  if (!answer.known) {
    const because = readings === '' ? answer.because : `${answer.because} (${readings})`;
    return { subject, answer: `${what}: unknown`, because };
  }
  const value = typeof answer.value === 'boolean' ? (answer.value ? 'yes' : 'no') : String(answer.value);
  const sources = [...new Set(answer.evidence.map(({ source }) => source))].join(', ');
  return { subject, answer: `${what}: ${knownAs ?? value}`, because: `${readings} [${sources}]` };
}

function renderFinding(finding: Finding): string {
  return `finding[${finding.code}]: ${finding.message}\n  remedy: ${finding.remedy}\n`;
}
