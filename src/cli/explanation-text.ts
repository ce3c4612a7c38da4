import { servedText, type VmiExplanation } from '../fleet/explain-vmi.js';
import type { NodeFit, SmmuOutcome } from '../fleet/node-fit.js';
import { POLICY_PROPERTIES } from '../fleet/policy.js';
import { type Column, renderTable } from './output.js';

/** A VMI's explanation for a terminal. @param wide with what is written for each device */
export function renderExplanation(explanation: VmiExplanation, wide: boolean): string {
  const { vmi, touched, unresolved, nodes } = explanation;
  const parts = [
    `${vmi}: ${servedText(touched)}, because ${touched.because}\n`,
    renderVerdicts(explanation),
    renderSettings(explanation),
  ];
  if (unresolved !== undefined)
    parts.push(`Not resolved: ${unresolved.message}\n  remedy: ${unresolved.remedy}\n`);
  else if (touched.value === true) parts.push(renderNodes(explanation, wide));
  if (touched.value === true && unresolved === undefined && nodes.length === 0)
    parts.push('No node has a profile.\n');
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
export function renderNodes({ nodes }: Pick<VmiExplanation, 'nodes'>, wide: boolean): string {
  const columns = wide ? [...NODE_COLUMNS, DEVICE_ATS, WHY_NOT] : [...NODE_COLUMNS, WHY_NOT];
  return renderTable(columns, nodes.flatMap(nodeRows));
}

function nodeRows({ node, fits, reasons, smmus }: NodeFit): NodeRow[] {
  if (smmus.length === 0) return [{ node, fits, smmu: undefined, reason: reasons.join('; ') }];
  // What is said of one SMMU stands beside it; the rest is about the node.
  const general = reasons.filter((reason) => !smmus.some(({ errors }) => errors.includes(reason)));
  return smmus.map((smmu) => ({ node, fits, smmu, reason: [...general, ...smmu.errors].join('; ') }));
}

const NODE_COLUMNS: readonly Column<NodeRow>[] = [
  { title: 'NODE', cell: ({ node }) => node },
  { title: 'FITS', cell: ({ fits }) => fits },
  { title: 'SMMU', cell: ({ smmu }) => smmu?.smmu ?? '-' },
  ...POLICY_PROPERTIES.map((property) => ({
    title: property.toUpperCase(),
    cell: ({ smmu }: NodeRow) => String(smmu?.vsmmu?.[property] ?? '-'),
  })),
  { title: 'DEVICES', cell: ({ smmu }) => smmu?.candidates.join(',') ?? '-' },
];
const DEVICE_ATS: Column<NodeRow> = {
  title: 'DEVICE ATS',
  cell: ({ smmu }) => smmu?.devices.map(({ bdf, ats }) => `${bdf}=${ats}`).join(',') || '-',
};
const WHY_NOT: Column<NodeRow> = { title: 'WHY NOT', cell: ({ reason }) => reason };
