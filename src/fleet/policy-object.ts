import * as z from 'zod';

import type { KubeObject } from '../cluster/resource.js';
import { conditionSchema } from './conditions.js';
import { parsePolicy, type Policy } from './policy.js';

const statusSchema = z.object({
  observedGeneration: z.int().optional(),
  conditions: z.array(conditionSchema).default([]),
});
export type PolicyStatus = z.output<typeof statusSchema>;

/** A policy with what its status needs; everybody but the controller looks at the policy alone. */
export interface PolicyObject extends Policy {
  readonly resourceVersion: string | undefined;
  readonly generation: number | undefined;
  readonly status: PolicyStatus;
}

/** A status that is none is read as empty: it is the controller's own and is written anew. @throws VsmmuError POLICY_MALFORMED */
export function parsePolicyObject(object: KubeObject): PolicyObject {
  const { resourceVersion, generation } = object.metadata;
  const status = statusSchema.safeParse(object['status'] ?? {});
  return {
    ...parsePolicy(object),
    resourceVersion,
    generation,
    status: status.success ? status.data : { conditions: [] },
  };
}
