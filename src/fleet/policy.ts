import * as z from 'zod';

import type { KubeObject, ResourceType } from '../cluster/resource.js';
import { VsmmuError } from '../errors.js';
import { firstIssue } from '../schema-issue.js';
import { OAS_IMPLEMENTED, SSIDSIZE_MAX, type OnOff } from '../smmu/properties.js';
import { type LabelSelector, labelSelector } from './label-selector.js';

export const POLICIES: ResourceType = {
  group: 'vsmmu.io',
  version: 'v1alpha1',
  kind: 'Policy',
  plural: 'policies',
  namespaced: false,
};

/** Properties of a vSMMU that a policy decides; `accel` is not among them, without it nothing is passed through. */
export const POLICY_PROPERTIES = ['ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const;
export type PolicyProperty = (typeof POLICY_PROPERTIES)[number];

/** An explicit value; the host's; or the baseline's. */
export type PropertyChoice = OnOff | number | 'auto' | 'baseline';
export type TopologyPolicy = 'off' | 'rewrite' | 'complete';
export type OnUnresolved = 'refuse' | 'leave';
export type UnknownAts = 'unknown' | 'yes' | 'no';

/** What a policy sets; a field that is absent is left to policies of lower rank. */
export interface PolicySettings {
  readonly properties: Readonly<Partial<Record<PolicyProperty, PropertyChoice>>>;
  readonly baseline?: string | undefined;
  readonly topology?: TopologyPolicy | undefined;
  readonly onUnresolved?: OnUnresolved | undefined;
  readonly unknownAts?: UnknownAts | undefined;
}

export interface Policy extends PolicySettings {
  readonly name: string;
  readonly priority: number;
  /** undefined: every namespace, every VMI, every device. */
  readonly namespaces: LabelSelector | undefined;
  readonly vmis: LabelSelector | undefined;
  /** Full resource names, or a domain with its "/". */
  readonly resources: readonly string[] | undefined;
}

const onOff = z.enum(['on', 'off', 'auto', 'baseline']);
const autoOrBaseline = z.enum(['auto', 'baseline']);
const specSchema = z.object({
  priority: z.int().min(0).max(1000).default(0),
  namespaceSelector: labelSelector.optional(),
  vmiSelector: labelSelector.optional(),
  devices: z.object({ resources: z.array(z.string()).min(1).max(64) }).optional(),
  properties: z
    .object({
      ats: onOff.optional(),
      ril: onOff.optional(),
      cmdqv: onOff.optional(),
      ssidsize: z.union([z.int().min(0).max(SSIDSIZE_MAX), autoOrBaseline]).optional(),
      oas: z.union([z.literal(OAS_IMPLEMENTED), autoOrBaseline]).optional(),
    })
    .default({}),
  baseline: z.string().min(1).optional(),
  topology: z.enum(['off', 'rewrite', 'complete']).optional(),
  onUnresolved: z.enum(['refuse', 'leave']).optional(),
  unknownAts: z.enum(['unknown', 'yes', 'no']).optional(),
});

/** @throws VsmmuError POLICY_MALFORMED where the object is none that the CRD would let in */
export function parsePolicy(object: KubeObject): Policy {
  const { name } = object.metadata;
  const parsed = specSchema.safeParse(object['spec']);
  if (!parsed.success) {
    const { path, message } = firstIssue(parsed.error);
    throw new VsmmuError('POLICY_MALFORMED', message, {
      place: `Policy ${name}: spec.${path}`,
      remedy: 'Correct the field; docs/policies.md lists all of them.',
    });
  }
  const { namespaceSelector, vmiSelector, devices, properties, ...settings } = parsed.data;
  return {
    name,
    ...settings,
    properties: withoutAbsent(properties),
    namespaces: namespaceSelector,
    vmis: vmiSelector,
    resources: devices?.resources,
  };
}

function withoutAbsent(properties: z.output<typeof specSchema>['properties']): PolicySettings['properties'] {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined));
}
