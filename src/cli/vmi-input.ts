import * as z from 'zod';

import { VsmmuError } from '../errors.js';
import type { Labels } from '../fleet/label-selector.js';
import { parseVmi, type Vmi } from '../kubevirt/vmi.js';
import type { CliIo } from './io.js';
import { readDocuments } from './offline-fleet.js';

export interface LabelledVmi {
  readonly vmi: Vmi;
  readonly labels: Labels;
}

const virtualMachine = z.object({
  kind: z.literal('VirtualMachine'),
  metadata: z.looseObject({ name: z.string().optional(), namespace: z.string().optional() }),
  spec: z.object({
    template: z.object({
      metadata: z.record(z.string(), z.unknown()).nullish(),
      spec: z.unknown(),
    }),
  }),
});
const labelled = z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).nullish() }) });

/** @throws VsmmuError VMI_MALFORMED where the file holds no single VMI, nor a VirtualMachine that would make one */
export async function readVmi(file: string, io: CliIo): Promise<LabelledVmi> {
  const documents = await readDocuments(file, io);
  if (documents.length !== 1)
    throw new VsmmuError('VMI_MALFORMED', `it holds ${documents.length} documents`, {
      place: file,
      remedy: 'Give one VirtualMachineInstance or VirtualMachine.',
    });
  return labelledVmi(documents[0]);
}

export function labelledVmi(json: unknown): LabelledVmi {
  const machine = virtualMachine.safeParse(json);
  const instance = machine.success ? instanceOf(machine.data) : json;
  const vmi = parseVmi(instance);
  const labels = labelled.safeParse(instance);
  return { vmi, labels: (labels.success ? labels.data.metadata.labels : undefined) ?? {} };
}

/** The VMI that KubeVirt makes of a VirtualMachine's template, under the machine's name. */
function instanceOf({ metadata, spec: { template } }: z.output<typeof virtualMachine>): unknown {
  const { name, namespace } = metadata;
  return { metadata: { ...template.metadata, name, namespace }, spec: template.spec };
}
