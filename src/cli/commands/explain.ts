import { ExitStatus, VsmmuError } from '../../errors.js';
import { VMIS } from '../../cluster/core-resources.js';
import { explainVmi, type VmiExplanation } from '../../fleet/explain-vmi.js';
import { renderExplanation } from '../explanation-text.js';
import type { CliIo } from '../io.js';
import { clusterClient } from '../kubeconfig.js';
import { isData, renderData, type TableFormat } from '../output.js';
import { readClaims } from '../read-claims.js';
import { type FleetOptions, isOffline, readFleet } from '../read-fleet.js';
import { type LabelledVmi, labelledVmi, readVmi } from '../vmi-input.js';
import { write } from '../write.js';

export interface ExplainVmiOptions extends FleetOptions {
  /** A file with the VMI, '-' for standard input; instead of a name. */
  readonly file?: string | undefined;
  readonly namespace: string;
  /** Extended resources that are vsmmu's. */
  readonly resource: readonly string[];
  readonly output: TableFormat;
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
    await readClaims(vmi, namespace, options, io),
  );
  const { output } = options;
  const text = isData(output)
    ? await renderData(output, explanation)
    : renderExplanation(explanation, output === 'wide');
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
  return touched.value === true && (unresolved !== undefined || nodes.every(({ fits }) => fits === 'no'));
}
