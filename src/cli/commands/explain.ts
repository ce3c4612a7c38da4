import { ExitStatus, VsmmuError } from '../../errors.js';
import { VMIS } from '../../cluster/core-resources.js';
import { explainVmi, type VmiExplanation } from '../../fleet/explain-vmi.js';
import type { SmmuOutcome } from '../../fleet/node-fit.js';
import { POLICY_PROPERTIES } from '../../fleet/policy.js';
import type { CliIo } from '../io.js';
import { clusterClient } from '../kubeconfig.js';
import { type OutputFormat, renderData, renderTable } from '../output.js';
import { type FleetOptions, isOffline, readFleet } from '../read-fleet.js';
import { type LabelledVmi, labelledVmi, readVmi } from '../vmi-input.js';
import { write } from '../write.js';

export interface ExplainVmiOptions extends FleetOptions {
  /** A file with the VMI, '-' for standard input; instead of a name. */
  readonly file?: string | undefined;
  readonly namespace: string;
  /** Extended resources that are vsmmu's. */
  readonly resource: readonly string[];
  readonly output: OutputFormat;
}

/** @returns findings where no node would take the VMI, or its properties can't be told */
export async function runExplainVmi(
  name: string | undefined,
  options: ExplainVmiOptions,
  io: CliIo,
): Promise<ExitStatus> {
  const { vmi, labels } = await theVmi(name, options, io);
  const view = await readFleet(options, io);
  const namespace = vmi.namespace === '' ? options.namespace : vmi.namespace;
  const explanation = explainVmi(
    vmi,
    { vmi: labels, namespace: view.namespaces.get(namespace) ?? {} },
    {
      nodes: view.nodes,
      policies: view.policies,
      baselines: view.baselines,
      resources: options.resource,
    },
  );
  const text =
    options.output === 'table' ? renderExplanation(explanation) : renderData(options.output, explanation);
  await write(io.stdout, text);
  return isFinding(explanation) ? ExitStatus.findings : ExitStatus.ok;
}

async function theVmi(name: string | undefined, options: ExplainVmiOptions, io: CliIo): Promise<LabelledVmi> {
  if ((name === undefined) === (options.file === undefined))
    throw new VsmmuError('USAGE', 'name a VMI of the cluster, or give a file', {
      place: 'explain vmi',
      remedy: 'vsmmu explain vmi NAME -n NAMESPACE, or vsmmu explain vmi -f FILE.',
      exitStatus: ExitStatus.usage,
    });
  if (options.file !== undefined) return readVmi(options.file, io);
  if (isOffline(options))
    throw new VsmmuError('USAGE', 'a VMI of the cluster cannot be explained on recordings', {
      place: '--host',
      remedy: 'Give the VMI as a file: -f FILE.',
      exitStatus: ExitStatus.usage,
    });
  const client = await clusterClient(options, io);
  try {
    return labelledVmi(await client.get(VMIS, { name: name ?? '', namespace: options.namespace }));
  } finally {
    client.close();
  }
}

function isFinding({ touched, unresolved, nodes }: VmiExplanation): boolean {
  return touched.value && (unresolved !== undefined || nodes.every(({ fits }) => fits === 'no'));
}

function renderExplanation(explanation: VmiExplanation): string {
  const { vmi, touched, unresolved, nodes } = explanation;
  const parts = [
    `${vmi}: ${touched.value ? 'vsmmu serves it' : 'vsmmu leaves it alone'}, because ${touched.because}\n`,
    renderVerdicts(explanation),
    renderSettings(explanation),
  ];
  if (unresolved !== undefined)
    parts.push(`Not resolved: ${unresolved.message}\n  remedy: ${unresolved.remedy}\n`);
  else if (touched.value) parts.push(renderNodes(explanation));
  if (touched.value && unresolved === undefined && nodes.length === 0) parts.push('No node has a profile.\n');
  return parts.filter((part) => part !== '').join('\n');
}

function renderVerdicts({ policy }: VmiExplanation): string {
  if (policy.verdicts.length === 0) return 'No policy is there; defaults apply.\n';
  return renderTable(
    [
      { title: 'POLICY', cell: ({ name }) => name },
      { title: 'APPLIES', cell: ({ applies }) => (applies ? 'yes' : 'no') },
      { title: 'BECAUSE', cell: ({ because }) => because },
    ],
    policy.verdicts,
  );
}

function renderSettings({ policy }: VmiExplanation): string {
  const { properties, baseline, topology, onUnresolved, unknownAts } = policy;
  const rows = [
    ...POLICY_PROPERTIES.map((property) => ({ setting: property, ...properties[property] })),
    { setting: 'baseline', value: baseline.value ?? 'none', from: baseline.from },
    { setting: 'topology', ...topology },
    { setting: 'onUnresolved', ...onUnresolved },
    { setting: 'unknownAts', ...unknownAts },
  ];
  return renderTable(
    [
      { title: 'SETTING', cell: ({ setting }) => setting },
      { title: 'VALUE', cell: ({ value }) => String(value) },
      { title: 'FROM', cell: ({ from }) => from },
    ],
    rows,
  );
}

interface NodeRow {
  readonly node: string;
  readonly fits: string;
  readonly smmu: SmmuOutcome | undefined;
  readonly reason: string;
}

/** A line for each host SMMU that a device of the VM might be behind. */
function renderNodes({ nodes }: VmiExplanation): string {
  const rows = nodes.flatMap(({ node, fits, reasons, smmus }): NodeRow[] =>
    smmus.length === 0
      ? [{ node, fits, smmu: undefined, reason: reasons.join('; ') }]
      : smmus.map((smmu) => ({
          node,
          fits,
          smmu,
          reason: (fits === 'no' && smmu.errors.length === 0 ? reasons : smmu.errors).join('; '),
        })),
  );
  return renderTable(
    [
      { title: 'NODE', cell: ({ node }) => node },
      { title: 'FITS', cell: ({ fits }) => fits },
      { title: 'SMMU', cell: ({ smmu }) => smmu?.smmu ?? '-' },
      ...POLICY_PROPERTIES.map((property) => ({
        title: property.toUpperCase(),
        cell: ({ smmu }: NodeRow) => String(smmu?.vsmmu?.[property] ?? '-'),
      })),
      { title: 'DEVICES', cell: ({ smmu }) => smmu?.candidates.join(',') ?? '-' },
      { title: 'WHY NOT', cell: ({ reason }) => reason },
    ],
    rows,
  );
}
