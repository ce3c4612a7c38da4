import { VsmmuError } from '../errors.js';
import type { HookContainer } from '../kubevirt/hook-sidecars.js';
import { patchCreatedVmi, type ResourceSelection } from '../kubevirt/vmi-create.js';
import { parseVmi } from '../kubevirt/vmi.js';
import type { ReviewHandler } from './https-server.js';
import type { AdmissionRequest, Verdict } from './review.js';

export interface MutateOptions {
  readonly resources: ResourceSelection;
  readonly hook: HookContainer;
}

/** /mutate: what VMIs get. Anything that is no VMI of KubeVirt passes untouched. */
export function mutateHandler({ resources, hook }: MutateOptions): ReviewHandler {
  return (request) => {
    if (!isVmi(request) || request.operation !== 'CREATE') return { allowed: true };
    return judged(() => ({
      allowed: true,
      patch: patchCreatedVmi(parseVmi(request.object), resources, hook),
    }));
  };
}

export function isVmi({ resource, subResource }: AdmissionRequest): boolean {
  return (
    resource.group === 'kubevirt.io' &&
    resource.resource === 'virtualmachineinstances' &&
    subResource === undefined
  );
}

/** What a person can correct in the object becomes a refusal with its field; everything else is our own failure. */
export function judged(judge: () => Verdict): Verdict {
  try {
    return judge();
  } catch (error) {
    if (!(error instanceof VsmmuError)) throw error;
    const { place = '', message, remedy, code } = error;
    return {
      allowed: false,
      code: 422,
      message: `vsmmu: ${place}: ${message}. ${remedy} (${code})`,
      causes: [{ reason: 'FieldValueInvalid', field: place, message }],
    };
  }
}
