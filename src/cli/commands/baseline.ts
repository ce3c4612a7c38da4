import { ExitStatus } from '../../errors.js';
import type { BaselineStatus } from '../../fleet/baseline-object.js';
import { keepBaseline, type LeavingOut } from '../../fleet/keep-baseline.js';
import { pciModelOf } from '../../host/pci-model.js';
import type { HostReport } from '../../host/report.js';
import { yesNo } from '../../smmu/answer.js';
import type { Baseline, BaselineHost, Limited } from '../../smmu/baseline.js';
import { probe } from '../host.js';
import type { CliIo } from '../io.js';
import type { ClusterOptions } from '../kubeconfig.js';
import { namedHosts } from '../named-hosts.js';
import { isData, renderData, renderTable, type TableFormat } from '../output.js';
import { readFleet } from '../read-fleet.js';
import { write } from '../write.js';

export interface BaselineOptions extends ClusterOptions {
  /** Recordings; a host's name is its folder's. None: the Baselines of the cluster. */
  readonly hosts: readonly string[];
  readonly output: TableFormat;
}

/** @returns findings where a host is left out */
export async function runBaseline(options: BaselineOptions, io: CliIo): Promise<ExitStatus> {
  if (options.hosts.length === 0) return runClusterBaselines(options, io);
  const hosts: BaselineHost[] = [];
  for (const [name, dir] of namedHosts(options.hosts)) hosts.push(baselineHost(name, await probe(dir, io)));
  const { baseline, leavingOut } = keepBaseline(hosts, { published: undefined, bound: [], holdBack: true });
  const { output } = options;
  const text = isData(output)
    ? await renderData(output, baseline)
    : renderBaseline(baseline, output === 'wide' ? leavingOut : []);
  await write(io.stdout, text);
  return baseline.excluded.length === 0 && baseline.vsmmu !== null ? ExitStatus.ok : ExitStatus.findings;
}

/** The cluster's Baselines, as their controller keeps them. @returns findings where one has no member or is held back */
async function runClusterBaselines(options: BaselineOptions, io: CliIo): Promise<ExitStatus> {
  const { baselines } = await readFleet({ ...options, host: [], objects: [] }, io);
  const sorted = [...baselines].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const { output } = options;
  const text = isData(output)
    ? await renderData(output, { baselines: sorted.map(([name, status]) => ({ name, ...status })) })
    : sorted.map(([name, status]) => renderStatus(name, status, output)).join('\n');
  await write(io.stdout, text === '' ? 'The cluster has no Baseline.\n' : text);
  const sound = sorted.every(
    ([, { vsmmu, conditions }]) =>
      vsmmu !== undefined && !conditions.some(({ type, status }) => type === 'HeldBack' && status === 'True'),
  );
  return sound ? ExitStatus.ok : ExitStatus.findings;
}

/** Conditions are told in a line each where they want a look. */
function renderStatus(name: string, status: BaselineStatus, output: 'table' | 'wide'): string {
  const held = status.conditions.find((one) => one.type === 'HeldBack' && one.status === 'True');
  const told = held === undefined ? '' : `held back: ${held.message}\n`;
  const table = renderBaseline(baselineOfStatus(status), output === 'wide' ? status.leavingOut : []);
  return `Baseline ${name}\n${told}${table}`;
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

function renderBaseline(baseline: Baseline, leavingOut: readonly LeavingOut[]): string {
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
  const leaving = leavingOut.map(({ node, gains, losesModels }) => ({
    subject: node,
    property: '',
    value: 'without it',
    note: [
      ...(gains.length === 0 ? [] : [`a VM would gain ${gains.join(', ')}`]),
      ...(losesModels.length === 0 ? [] : [`a VM would lose the devices ${losesModels.join(', ')}`]),
    ].join('; '),
  }));
  return renderTable(
    [
      { title: 'SUBJECT', cell: (row) => row.subject },
      { title: 'PROPERTY', cell: (row) => row.property },
      { title: 'VALUE', cell: (row) => row.value },
      { title: 'NOTE', cell: (row) => row.note },
    ],
    [...vsmmu, ...devices, ...members, ...excluded, ...leaving],
  );
}
