import { ExitStatus } from '../../errors.js';
import {
  type BaselineSummary,
  type FleetSummary,
  type ModelSummary,
  summarizeFleet,
} from '../../fleet/summary.js';
import type { CliIo } from '../io.js';
import { type Column, isData, renderData, renderTable, type TableFormat } from '../output.js';
import { type FleetOptions, readFleet } from '../read-fleet.js';
import { write } from '../write.js';

export interface StatusOptions extends FleetOptions {
  readonly output: TableFormat;
}

/** The fleet in one screen. @returns findings where something wants a person's look */
export async function runStatus(options: StatusOptions, io: CliIo): Promise<ExitStatus> {
  const summary = summarizeFleet(await readFleet(options, io), Date.now());
  const { output } = options;
  const text = isData(output) ? await renderData(output, summary) : renderSummary(summary, output === 'wide');
  await write(io.stdout, text);
  return summary.findings.length === 0 ? ExitStatus.ok : ExitStatus.findings;
}

function renderSummary(summary: FleetSummary, wide: boolean): string {
  const { baselines, models, findings } = summary;
  return [
    renderFacts(summary),
    ...(wide && models.length > 0 ? [renderTable(MODEL_COLUMNS, models)] : []),
    ...(baselines.length === 0
      ? []
      : [renderTable(wide ? [...BASELINE_COLUMNS, ...WIDE_COLUMNS] : BASELINE_COLUMNS, baselines)]),
    ...(findings.length === 0 ? [] : [findings.map((finding) => `finding: ${finding}\n`).join('')]),
  ].join('\n');
}

function renderFacts({ nodes, devices, policies, baselines }: FleetSummary): string {
  const count = (value: number, of: number) => (of === value ? `${value}` : `${value} of ${of}`);
  return renderTable(
    [
      { title: 'FLEET', cell: ([name]) => name },
      { title: 'COUNT', cell: ([, value]) => value },
    ],
    [
      ['nodes with a profile', `${nodes.profiles}`],
      ['nodes that can run accelerated vSMMUs', count(nodes.accelerated, nodes.profiles)],
      ['devices ready for passthrough', count(devices.ready, devices.total)],
      ['devices with ATS', count(devices.ats, devices.total)],
      ['devices whose ATS is unknown', `${devices.atsUnknown}`],
      ['devices with PASID', count(devices.pasid, devices.total)],
      ['policies', `${policies}`],
      ['baselines', `${baselines.length}`],
    ] satisfies [string, string][],
  );
}

const MODEL_COLUMNS: readonly Column<ModelSummary>[] = [
  { title: 'MODEL', cell: ({ model }) => model },
  { title: 'DEVICES', cell: ({ devices }) => `${devices}` },
  { title: 'READY', cell: ({ ready }) => `${ready}` },
  { title: 'ATS', cell: ({ ats }) => `${ats}` },
  { title: 'ATS UNKNOWN', cell: ({ atsUnknown }) => `${atsUnknown}` },
  { title: 'NODES', cell: ({ nodes }) => `${nodes}` },
];

const BASELINE_COLUMNS: readonly Column<BaselineSummary>[] = [
  { title: 'BASELINE', cell: ({ name }) => name },
  { title: 'ATS', cell: ({ values }) => values?.ats ?? '-' },
  { title: 'RIL', cell: ({ values }) => values?.ril ?? '-' },
  { title: 'SSIDSIZE', cell: ({ values }) => `${values?.ssidsize ?? '-'}` },
  { title: 'OAS', cell: ({ values }) => `${values?.oas ?? '-'}` },
  { title: 'CMDQV', cell: ({ values }) => values?.cmdqv ?? '-' },
  { title: 'MEMBERS', cell: ({ members }) => `${members}` },
  { title: 'LEFT OUT', cell: ({ excluded }) => `${excluded}` },
];

const WIDE_COLUMNS: readonly Column<BaselineSummary>[] = [
  { title: 'HELD BACK', cell: ({ heldBack }) => (heldBack === undefined ? 'no' : 'yes') },
  { title: 'LIMITED BY', cell: ({ limitedBy }) => limitedBy.join('; ') || '-' },
];
