import * as z from 'zod';

import type { BaselineObject } from '../fleet/baseline-object.js';
import type { Labels } from '../fleet/label-selector.js';
import { type PolicyForVmi, policyForVmi } from '../fleet/policy-for-vmi.js';
import type { Policy } from '../fleet/policy.js';
import type { Vmi } from '../kubevirt/vmi.js';
import type { AdmissionRequest } from './review.js';

/** What policies make of a VMI; no review waits for the API server. */
export type VmiPolicy = (vmi: Vmi, request: AdmissionRequest) => PolicyForVmi;

/** The parts of watch caches that a review needs. */
export interface PolicyCaches {
  readonly policies: { values(): Iterable<Policy> };
  readonly baselines: { get(name: string): BaselineObject | undefined };
  readonly namespaces: { get(name: string): Labels | undefined };
}

const labelled = z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).nullish() }) });

export function vmiPolicy({ policies, baselines, namespaces }: PolicyCaches): VmiPolicy {
  return (vmi, request) => {
    const labels = labelled.safeParse(request.object);
    return policyForVmi(vmi, {
      policies: [...policies.values()],
      vmiLabels: (labels.success ? labels.data.metadata.labels : undefined) ?? {},
      // The object itself may lack its namespace, the request never does.
      namespaceLabels: namespaces.get(request.namespace) ?? {},
      baseline: (name) => baselines.get(name)?.status,
    });
  };
}
