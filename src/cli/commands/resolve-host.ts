import { hostname } from 'node:os';

import { ExitStatus } from '../../errors.js';
import { featuresOf } from '../../host/features.js';
import type { HostReport, SmmuReport } from '../../host/report.js';
import type { HostFeatures } from '../../smmu/features.js';
import type { Answer } from '../../smmu/answer.js';
import { ALL_AUTO, VSMMU_PROPERTIES, type VsmmuProperty } from '../../smmu/properties.js';
import { registerEvidence } from '../../smmu/register-evidence.js';
import { type Resolution, resolveVsmmu } from '../../smmu/resolve.js';
import { probe } from '../host.js';
import type { CliIo } from '../io.js';
import { renderData, renderTable } from '../output.js';
import { write } from '../write.js';

export interface ResolveHostOptions {
  readonly host?: string | undefined;
  readonly node?: string | undefined;
  readonly output: 'table' | 'json' | 'yaml' | 'annotation';
}

/** What a vSMMU with every property `auto` becomes, for each SMMU that has passthrough devices behind it. */
interface SmmuResolution {
  readonly smmu: string;
  readonly report: SmmuReport;
  readonly resolution: Resolution;
}

/** @returns findings where an SMMU can't be resolved, or none has a device to pass through */
export async function runResolveHost(options: ResolveHostOptions, io: CliIo): Promise<ExitStatus> {
  const report = await probe(options.host, io);
  if (options.output === 'annotation') {
    const { renderAnnotation } = await import('../../kubevirt/write-resolved.js');
    await write(io.stdout, `${renderAnnotation(givable(report), options.node ?? hostname())}\n`);
    return ExitStatus.ok;
  }
  const resolutions = resolveSmmus(report);
  if (options.output === 'table') await write(io.stdout, renderResolutions(resolutions));
  else {
    const smmus = resolutions.map(({ smmu, resolution }) => ({ smmu, ...resolution }));
    await write(io.stdout, await renderData(options.output, { origin: report.origin, smmus }));
  }
  if (resolutions.length === 0)
    io.stderr.write(`${report.origin}: no SMMUv3 has a device behind it that is bound to a VFIO driver\n`);
  const resolved = resolutions.length > 0 && resolutions.every(({ resolution }) => resolution.ok);
  return resolved ? ExitStatus.ok : ExitStatus.findings;
}

/** The annotation tells only of devices that a VM could be given as they are now. */
function givable(report: HostReport): HostFeatures {
  const ready = new Set(report.devices.filter((device) => device.passthrough.ready).map(({ bdf }) => bdf));
  const { origin, devices } = featuresOf(report);
  return { origin, devices: new Map([...devices].filter(([bdf]) => ready.has(bdf))) };
}

function resolveSmmus(report: HostReport): SmmuResolution[] {
  const { devices } = featuresOf(report);
  return report.smmus.flatMap((smmu) => {
    const behind = report.devices
      .filter((device) => device.smmuReport === smmu.name && device.passthrough.ready)
      .flatMap(({ bdf }) => devices.get(bdf) ?? [])
      .map((features) => ({ features, ats: 'auto', coldPlugged: true }) as const);
    if (behind.length === 0) return [];
    return [{ smmu: smmu.name, report: smmu, resolution: resolveVsmmu(ALL_AUTO, behind) }];
  });
}

interface Row {
  readonly smmu: string;
  readonly subject: string;
  readonly property: string;
  readonly value: string;
  readonly evidence: string;
}

function renderResolutions(resolutions: readonly SmmuResolution[]): string {
  const rows = resolutions.flatMap(({ smmu, report, resolution }) =>
    resolution.ok
      ? [...propertyRows(smmu, report, resolution), ...deviceRows(smmu, resolution)]
      : resolution.errors.map((error) => ({
          smmu,
          subject: error.bdf ?? 'vSMMU',
          property: error.property ?? '-',
          value: error.code,
          evidence: error.message,
        })),
  );
  return renderTable<Row>(
    [
      { title: 'SMMU', cell: (row) => row.smmu },
      { title: 'SUBJECT', cell: (row) => row.subject },
      { title: 'PROPERTY', cell: (row) => row.property },
      { title: 'RESOLVED', cell: (row) => row.value },
      { title: 'EVIDENCE', cell: (row) => row.evidence },
    ],
    rows,
  );
}

type Resolved = Extract<Resolution, { ok: true }>;

function propertyRows(smmu: string, report: SmmuReport, { vsmmu }: Resolved): Row[] {
  return VSMMU_PROPERTIES.map((property) => ({
    smmu,
    subject: 'vSMMU',
    property,
    value: String(vsmmu[property]),
    evidence: propertyEvidence(property, report),
  }));
}

function propertyEvidence(property: VsmmuProperty, report: SmmuReport): string {
  const { registers, cmdqv } = report;
  const fromRegister = registers.known ? registerEvidence(property, registers.value.words) : undefined;
  if (fromRegister !== undefined) return fromRegister;
  if (property === 'cmdqv') return readings(cmdqv);
  const doubt = accelDoubt(report);
  return doubt === undefined ? readings(report.accel) : `the registers pass QEMU's checks, but: ${doubt}`;
}

function readings(answer: Answer<boolean>): string {
  return answer.known ? answer.evidence.map(({ reading }) => reading).join('; ') : answer.because;
}

/** QEMU's checks look at registers alone; the kernel may refuse nesting all the same, which the probe knows. */
function accelDoubt({ accel }: SmmuReport): string | undefined {
  return accel.known && accel.value ? undefined : readings(accel);
}

function deviceRows(smmu: string, { devices }: Resolved): Row[] {
  return devices.map(({ bdf, atsExposed, effectiveAts }) => ({
    smmu,
    subject: bdf,
    property: 'ats',
    value: atsExposed ? 'shown' : 'hidden',
    evidence: `effective ATS: ${effectiveAts}`,
  }));
}
