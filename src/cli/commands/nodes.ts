import { ExitStatus } from '../../errors.js';
import type { FleetNode } from '../../fleet/view.js';
import type { CliIo } from '../io.js';
import { type Column, isData, renderData, renderTable, type TableFormat } from '../output.js';
import { type FleetOptions, readFleet } from '../read-fleet.js';
import { write } from '../write.js';

export interface NodesOptions extends FleetOptions {
  readonly output: TableFormat;
}

/** What each node can do. @returns findings where a node has something that could not be read */
export async function runNodes(options: NodesOptions, io: CliIo): Promise<ExitStatus> {
  const { nodes } = await readFleet(options, io);
  const sorted = nodes.toSorted((a, b) => (a.spec.node < b.spec.node ? -1 : 1));
  await write(io.stdout, await render(sorted, options.output));
  return sorted.every(isComplete) ? ExitStatus.ok : ExitStatus.findings;
}

async function render(nodes: readonly FleetNode[], output: NodesOptions['output']): Promise<string> {
  if (isData(output))
    return renderData(output, { nodes: nodes.map(({ spec, labels }) => ({ ...spec, labels })) });
  if (nodes.length === 0) return 'No node has a profile.\n';
  return renderTable(output === 'wide' ? [...COLUMNS, ...WIDE_COLUMNS] : COLUMNS, nodes);
}

const COLUMNS: readonly Column<FleetNode>[] = [
  { title: 'NODE', cell: ({ spec }) => spec.node },
  { title: 'SMMUS', cell: ({ spec }) => `${spec.summary.smmus}` },
  { title: 'ACCEL', cell: ({ spec }) => `${spec.summary.accel}/${spec.summary.smmus}` },
  { title: 'DEVICES', cell: ({ spec }) => `${spec.summary.devices}` },
  { title: 'READY', cell: ({ spec }) => `${spec.devices.filter(({ ready }) => ready).length}` },
  { title: 'ATS', cell: ({ spec }) => `${spec.summary.ats}` },
  { title: 'PASID', cell: ({ spec }) => `${spec.summary.pasid}` },
  { title: 'UNKNOWN', cell: (node) => `${unknowns(node)}` },
  { title: 'KERNEL', cell: ({ spec }) => spec.kernel ?? 'unknown' },
];

const limitsOf = (read: (limits: NonNullable<FleetNode['spec']['smmus'][number]['limits']>) => string) =>
  function cell({ spec }: FleetNode): string {
    const values = spec.smmus.map(({ limits }) => (limits === undefined ? 'unknown' : read(limits)));
    return [...new Set(values)].join(',') || '-';
  };

const WIDE_COLUMNS: readonly Column<FleetNode>[] = [
  { title: 'SMMU ATS', cell: limitsOf(({ ats }) => ats) },
  { title: 'RIL', cell: limitsOf(({ ril }) => ril) },
  { title: 'SSIDSIZE', cell: limitsOf(({ ssidsize }) => `${ssidsize}`) },
  { title: 'OAS', cell: limitsOf(({ oas }) => `${oas}`) },
  { title: 'CMDQV', cell: limitsOf(({ cmdqv }) => cmdqv ?? 'unknown') },
  { title: 'RENEWED', cell: ({ profile }) => renewed(profile.renewedAt) },
];

function renewed(at: number | undefined): string {
  return at === undefined ? '-' : new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Things the node could not tell: SMMUs that were not read, devices of unknown ATS. */
function unknowns({ spec }: FleetNode): number {
  return (
    spec.smmus.filter(({ limits }) => limits === undefined).length +
    spec.devices.filter(({ ats }) => ats === 'unknown').length
  );
}

function isComplete(node: FleetNode): boolean {
  return unknowns(node) === 0;
}
