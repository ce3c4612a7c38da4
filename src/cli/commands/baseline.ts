import { ExitStatus } from '../../errors.js';
import type { BaselineStatus } from '../../fleet/baseline-object.js';
import { pciModelOf } from '../../host/pci-model.js';
import type { HostReport } from '../../host/report.js';
import { yesNo } from '../../smmu/answer.js';
import { type Baseline, baselineOf, type BaselineHost, type Limited } from '../../smmu/baseline.js';
import { probe } from '../host.js';
import type { CliIo } from '../io.js';
import type { ClusterOptions } from '../kubeconfig.js';
import { namedHosts } from '../named-hosts.js';
import { type OutputFormat, renderData, renderTable } from '../output.js';
import { readFleet } from '../read-fleet.js';
import { write } from '../write.js';

export interface BaselineOptions extends ClusterOptions {
  /** Recordings; a host's name is its folder's. None: the Baselines of the cluster. */
  readonly hosts: readonly string[];
  readonly output: OutputFormat;
}

/** @returns findings where a host is left out */
export async function runBaseline(options: BaselineOptions, io: CliIo): Promise<ExitStatus> {
  if (options.hosts.length === 0) return runClusterBaselines(options, io);
  const hosts: BaselineHost[] = [];
  for (const [name, dir] of namedHosts(options.hosts)) hosts.push(baselineHost(name, await probe(dir, io)));
  const baseline = baselineOf(hosts);
  const text = options.output === 'table' ? renderBaseline(baseline) : renderData(options.output, baseline);
  await write(io.stdout, text);
  return baseline.excluded.length === 0 && baseline.vsmmu !== null ? ExitStatus.ok : ExitStatus.findings;
}

/** The cluster's Baselines, as their controller keeps them. @returns findings where one has no member or is held back */
async function runClusterBaselines(options: BaselineOptions, io: CliIo): Promise<ExitStatus> {
  const { baselines } = await readFleet({ ...options, host: [], objects: [] }, io);
  const sorted = [...baselines].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const text =
    options.output === 'table'
      ? sorted
          .map(([name, status]) => `Baseline ${name}\n${renderBaseline(baselineOfStatus(status))}`)
          .join('\n')
      : renderData(options.output, { baselines: sorted.map(([name, status]) => ({ name, ...status })) });
  await write(io.stdout, text === '' ? 'The cluster has no Baseline.\n' : text);
  const sound = sorted.every(
    ([, { vsmmu, conditions }]) =>
      vsmmu !== undefined && !conditions.some(({ type, status }) => type === 'HeldBack' && status === 'True'),
  );
  return sound ? ExitStatus.ok : ExitStatus.findings;
}

function baselineOfStatus({ vsmmu, devices, members, excluded }: BaselineStatus): Baseline {
  return {
    vsmmu: vsmmu ?? null,
    devices: Object.fromEntries(devices.map(({ model, ats }) => [model, { ats }])),
    members,
    excluded,
  };
}

/** Only what a VM could be given counts: devices bound to a VFIO driver, and the SMMUs in front of them. */
function baselineHost(name: string, report: HostReport): BaselineHost {
  const devices = report.devices.filter((device) => device.passthrough.ready);
  const fronts = new Set(devices.map((device) => device.smmuReport));
  return {
    name,
    smmus: report.smmus.filter((smmu) => fronts.has(smmu.name)).map((smmu) => smmu.features),
    devices: devices.map((device) => ({
      model: pciModelOf(device) ?? '?:?',
      effectiveAts: yesNo(device.effectiveAts),
    })),
  };
}

function renderBaseline(baseline: Baseline): string {
  const vsmmu = Object.entries<Limited<string | number>>({ ...baseline.vsmmu }).map(
    ([property, { value, limitedBy }]) => ({
      subject: 'vSMMU',
      property,
      value: String(value),
      note: limitedBy.length === 0 ? '' : `limited by ${limitedBy.join(', ')}`,
    }),
  );
  const devices = Object.entries(baseline.devices).map(([model, { ats }]) => ({
    subject: model,
    property: 'ats',
    value: ats.value,
    note: ats.limitedBy.length === 0 ? '' : `limited by ${ats.limitedBy.join(', ')}`,
  }));
  const members = baseline.members.map((name) => ({
    subject: name,
    property: '',
    value: 'member',
    note: '',
  }));
  const excluded = baseline.excluded.map(({ name, reason }) => ({
    subject: name,
    property: '',
    value: 'excluded',
    note: reason,
  }));
  return renderTable(
    [
      { title: 'SUBJECT', cell: (row) => row.subject },
      { title: 'PROPERTY', cell: (row) => row.property },
      { title: 'VALUE', cell: (row) => row.value },
      { title: 'NOTE', cell: (row) => row.note },
    ],
    [...vsmmu, ...devices, ...members, ...excluded],
  );
}
