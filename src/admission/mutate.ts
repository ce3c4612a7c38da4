import { VsmmuError } from '../errors.js';
import { REQUIRE_ANNOTATION, RESOLVED_ANNOTATION, SET_ANNOTATION } from '../kubevirt/annotations.js';
import type { HookContainer } from '../kubevirt/hook-sidecars.js';
import { asksForVsmmu, patchCreatedVmi, type ResourceSelection } from '../kubevirt/vmi-create.js';
import { handOver, type NodeLookup } from '../kubevirt/vmi-handover.js';
import { parseVmi, type Vmi } from '../kubevirt/vmi.js';
import type { ClaimLookup } from './device-claims.js';
import type { ReviewHandler } from './https-server.js';
import { type Placement, unplaceable } from './placement.js';
import { type AdmissionRequest, refusal, type Verdict } from './review.js';
import type { VmiPolicy } from './vmi-policy.js';

export interface MutateOptions {
  readonly resources: ResourceSelection;
  readonly hook: HookContainer;
  /** Values of nodes, for the hand-over; undefined: this webhook knows of no cluster and only adds the hook. */
  readonly lookup?: NodeLookup;
  /** undefined: policies are not looked at. */
  readonly policy?: VmiPolicy;
  /** undefined: nobody asks by ResourceClaims. */
  readonly claims?: ClaimLookup;
  /**
   * Empty where some node could start the VMI; undefined: not looked at. It is asked here already, so that the API
   * server need not call the validating webhook for what the mutating one left in no doubt (registration.ts).
   */
  readonly placement?: Placement;
}

/** /mutate: what VMIs get. Anything that is no VMI of KubeVirt passes untouched. */
export function mutateHandler(options: MutateOptions): ReviewHandler {
  const { resources, lookup } = options;
  return (request) => {
    if (!isVmi(request)) return { allowed: true };
    return judged(() => {
      if (request.operation === 'CREATE') return created(request, options);
      if (request.operation !== 'UPDATE' || lookup === undefined) return { allowed: true };
      const vmi = parseVmi(request.object);
      if (!isServed(vmi, resources)) return { allowed: true };
      return { allowed: true, ...handOver(vmi, parseVmi(request.oldObject), lookup) };
    });
  };
}

function created(request: AdmissionRequest, options: MutateOptions): Verdict {
  const { resources, hook, claims } = options;
  const vmi = parseVmi(request.object);
  const asks = asksForVsmmu(vmi, resources);
  const claimed = asks ? undefined : claims?.(vmi, request.namespace);
  if (asks || claimed?.ours === true) return servedVmi(vmi, request, options, !asks);
  return {
    allowed: true,
    patch: patchCreatedVmi(vmi, resources, hook),
    warnings: (claimed?.unknown ?? []).map(unknownClaim),
  };
}

function servedVmi(vmi: Vmi, request: AdmissionRequest, options: MutateOptions, byClaim: boolean): Verdict {
  const { resources, hook, policy, placement } = options;
  const decided = policy?.(vmi, request);
  // A policy may leave a VMI alone: it is then nobody's business where it starts.
  const leftAlone = decided?.serve === false;
  const causes = leftAlone ? [] : unplaceable(placement?.(withWishes(vmi, decided?.set)) ?? []);
  if (causes.length > 0) return refusal(422, causes);
  return { allowed: true, patch: patchCreatedVmi(vmi, resources, hook, decided, byClaim) };
}

function withWishes(vmi: Vmi, set: string | undefined): Vmi {
  return set === undefined ? vmi : { ...vmi, annotations: { ...vmi.annotations, [SET_ANNOTATION]: set } };
}

function unknownClaim(what: string): string {
  return `vsmmu: ${what} is not there yet; if it asks for devices of vsmmu.io, create it first, or give the VMI the annotation ${REQUIRE_ANNOTATION}`;
}

/** A VMI that asked once keeps being served, whatever was done to its requests since. */
export function isServed(vmi: Vmi, resources: ResourceSelection): boolean {
  return asksForVsmmu(vmi, resources) || vmi.annotations?.[RESOLVED_ANNOTATION] !== undefined;
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
