import * as z from 'zod';

import type { KubeObject, ResourceType } from '../cluster/resource.js';
import { VsmmuError } from '../errors.js';
import { firstIssue } from '../schema-issue.js';
import { conditionSchema } from './conditions.js';
import { type LabelSelector, labelSelector } from './label-selector.js';

export const BASELINES: ResourceType = {
  group: 'vsmmu.io',
  version: 'v1alpha1',
  kind: 'Baseline',
  plural: 'baselines',
  namespaced: false,
};

const names = z.array(z.string());
const onOff = z.enum(['on', 'off']);
const limited = <T extends z.ZodType>(value: T) => z.object({ value, limitedBy: names });

const count = z.int().min(0);
/** The selected nodes and their devices in figures. */
const summarySchema = z.object({
  nodes: count,
  members: count,
  /** Members whose agents have been silent for too long. */
  stale: count,
  devices: count,
  ready: count,
  ats: count,
  atsUnknown: count,
  pasid: count,
});
export type BaselineTotals = z.output<typeof summarySchema>;

const statusSchema = z.object({
  observedGeneration: z.int().optional(),
  summary: summarySchema.optional(),
  vsmmu: z
    .object({
      ats: limited(onOff),
      ril: limited(onOff),
      ssidsize: limited(z.int()),
      oas: limited(z.int()),
      cmdqv: limited(onOff),
    })
    .optional(),
  devices: z
    .array(z.object({ model: z.string(), ats: limited(z.enum(['yes', 'no', 'unknown'])) }))
    .default([]),
  members: names.default([]),
  excluded: z.array(z.object({ name: z.string(), reason: z.string() })).default([]),
  leavingOut: z.array(z.object({ node: z.string(), gains: names, losesModels: names })).default([]),
  conditions: z.array(conditionSchema).default([]),
});

export type BaselineStatus = z.output<typeof statusSchema>;

export interface BaselineObject {
  readonly name: string;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly generation: number | undefined;
  readonly nodes: LabelSelector;
  /** Keep values under running VMs rather than shrink. */
  readonly holdBack: boolean;
  readonly status: BaselineStatus;
}

const specSchema = z.object({ nodeSelector: labelSelector, holdBack: z.boolean().default(true) });

/**
 * A status that is none is read as empty: it is the controller's own and is written anew.
 *
 * @throws VsmmuError BASELINE_OBJECT_MALFORMED
 */
export function parseBaseline(object: KubeObject): BaselineObject {
  const { name, uid, resourceVersion, generation } = object.metadata;
  const spec = specSchema.safeParse(object['spec']);
  if (!spec.success) {
    const { path, message } = firstIssue(spec.error);
    throw new VsmmuError('BASELINE_OBJECT_MALFORMED', message, {
      place: `Baseline ${name}: spec.${path}`,
      remedy: 'Correct the field; docs/fleet.md lists all of them.',
    });
  }
  const status = statusSchema.safeParse(object['status'] ?? {});
  return {
    name,
    uid,
    resourceVersion,
    generation,
    nodes: spec.data.nodeSelector,
    holdBack: spec.data.holdBack,
    status: status.success ? status.data : statusSchema.parse({}),
  };
}

/** On every member, with the value "member": what the affinity of a bound VMI asks for. */
export function memberLabel(baseline: string): string {
  return `baseline.vsmmu.io/${baseline}`;
}
