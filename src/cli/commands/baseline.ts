import { basename, resolve } from 'node:path';

import { ExitStatus, VsmmuError } from '../../errors.js';
import type { DeviceReport, HostReport } from '../../host/report.js';
import { yesNo } from '../../smmu/answer.js';
import { type Baseline, baselineOf, type BaselineHost, type Limited } from '../../smmu/baseline.js';
import { probe } from '../host.js';
import type { CliIo } from '../io.js';
import { type OutputFormat, renderData, renderTable } from '../output.js';
import { write } from '../write.js';

export interface BaselineOptions {
  /** Recordings; a host's name is its folder's. */
  readonly hosts: readonly string[];
  readonly output: OutputFormat;
}

/** @returns findings where a host is left out */
export async function runBaseline(options: BaselineOptions, io: CliIo): Promise<ExitStatus> {
  const hosts: BaselineHost[] = [];
  for (const [name, dir] of namedFolders(options.hosts)) hosts.push(baselineHost(name, await probe(dir, io)));
  const baseline = baselineOf(hosts);
  const text = options.output === 'table' ? renderBaseline(baseline) : renderData(options.output, baseline);
  await write(io.stdout, text);
  return baseline.excluded.length === 0 && baseline.vsmmu !== null ? ExitStatus.ok : ExitStatus.findings;
}

/** @throws VsmmuError USAGE where two folders would have one name, or none is given */
function namedFolders(dirs: readonly string[]): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  for (const dir of dirs) {
    const name = basename(resolve(dir));
    const other = named.get(name);
    if (other !== undefined && resolve(other) !== resolve(dir))
      throw usage(`${other} and ${dir} would both be called "${name}"`, 'Rename one of the folders.');
    named.set(name, dir);
  }
  if (named.size === 0) throw usage('no host is named', 'Name recordings: --host DIR --host DIR ...');
  return named;
}

function usage(message: string, remedy: string): VsmmuError {
  return new VsmmuError('USAGE', message, { place: '--host', remedy, exitStatus: ExitStatus.usage });
}

/** Only what a VM could be given counts: devices bound to a VFIO driver, and the SMMUs in front of them. */
function baselineHost(name: string, report: HostReport): BaselineHost {
  const devices = report.devices.filter((device) => device.passthrough.ready);
  const fronts = new Set(devices.map((device) => device.smmuReport));
  return {
    name,
    smmus: report.smmus.filter((smmu) => fronts.has(smmu.name)).map((smmu) => smmu.features),
    devices: devices.map((device) => ({ model: modelOf(device), effectiveAts: yesNo(device.effectiveAts) })),
  };
}

function modelOf({ vendor, device }: DeviceReport): string {
  const hex = (id: number | undefined) => (id === undefined ? '?' : id.toString(16).padStart(4, '0'));
  return `${hex(vendor)}:${hex(device)}`;
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
