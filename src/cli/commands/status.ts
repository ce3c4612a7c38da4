import { ExitStatus } from '../../errors.js';
import { type FleetSummary, summarizeFleet } from '../../fleet/summary.js';
import type { CliIo } from '../io.js';
import { type OutputFormat, renderData, renderTable } from '../output.js';
import { type FleetOptions, readFleet } from '../read-fleet.js';
import { write } from '../write.js';

export interface StatusOptions extends FleetOptions {
  readonly output: OutputFormat;
}

/** The fleet in one screen. @returns findings where something wants a person's look */
export async function runStatus(options: StatusOptions, io: CliIo): Promise<ExitStatus> {
  const summary = summarizeFleet(await readFleet(options, io), Date.now());
  const text = options.output === 'table' ? renderSummary(summary) : renderData(options.output, summary);
  await write(io.stdout, text);
  return summary.findings.length === 0 ? ExitStatus.ok : ExitStatus.findings;
}

function renderSummary({ nodes, devices, policies, baselines, findings }: FleetSummary): string {
  const count = (value: number, of: number) => (of === value ? `${value}` : `${value} of ${of}`);
  const facts = renderTable(
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
  const table =
    baselines.length === 0
      ? ''
      : `\n${renderTable(
          [
            { title: 'BASELINE', cell: ({ name }) => name },
            { title: 'ATS', cell: ({ values }) => values?.ats ?? '-' },
            { title: 'RIL', cell: ({ values }) => values?.ril ?? '-' },
            { title: 'SSIDSIZE', cell: ({ values }) => `${values?.ssidsize ?? '-'}` },
            { title: 'OAS', cell: ({ values }) => `${values?.oas ?? '-'}` },
            { title: 'CMDQV', cell: ({ values }) => values?.cmdqv ?? '-' },
            { title: 'MEMBERS', cell: ({ members }) => `${members}` },
            { title: 'LEFT OUT', cell: ({ excluded }) => `${excluded}` },
          ],
          baselines,
        )}`;
  const told = findings.map((finding) => `finding: ${finding}\n`).join('');
  return `${facts}${table}${told === '' ? '' : `\n${told}`}`;
}
