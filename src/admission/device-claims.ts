import { setTimeout as sleep } from 'node:timers/promises';

import type { ClaimRequest } from '../cluster/claim-requests.js';
import type { ClaimedDevices } from '../kubevirt/claimed-devices.js';
import { type DeviceRequest, parseVmi, type Vmi } from '../kubevirt/vmi.js';
import type { ReviewHandler } from './https-server.js';
import { isVmi } from './mutate.js';
import type { AdmissionRequest, Verdict } from './review.js';

/** The parts of watch caches that a review needs. */
export interface ClaimCaches {
  readonly claims: { get(name: string, namespace: string): readonly ClaimRequest[] | undefined };
  readonly templates: { get(name: string, namespace: string): readonly ClaimRequest[] | undefined };
  /** Does the class select devices of ours? */
  readonly classes: { get(name: string): boolean | undefined };
}

/** @param namespace the request's: the object itself may lack it */
export type ClaimLookup = (vmi: Vmi, namespace: string) => ClaimedDevices;

/** Tells by the claims and classes in memory; no review waits for the API server. */
export function claimLookup({ claims, templates, classes }: ClaimCaches): ClaimLookup {
  return (vmi, namespace) => {
    const unknown = new Set<string>();
    const known = <T>(value: T | undefined, what: string): T | undefined => {
      if (value === undefined) unknown.add(what);
      return value;
    };
    const requestsOf = ({ claimName }: DeviceRequest): readonly ClaimRequest[] => {
      const { claim, template } = vmi.resourceClaims.find(({ name }) => name === claimName) ?? {};
      if (claim !== undefined) return known(claims.get(claim, namespace), `ResourceClaim ${claim}`) ?? [];
      if (template === undefined) return [];
      return known(templates.get(template, namespace), `ResourceClaimTemplate ${template}`) ?? [];
    };
    const isOurs = (device: DeviceRequest): boolean =>
      named(requestsOf(device), device.requestName).some(
        ({ ours, classes: names }) =>
          ours || names.some((name) => known(classes.get(name), `DeviceClass ${name}`) ?? false),
      );
    const claiming = vmi.devices.filter(({ claimName }) => claimName !== undefined);
    return { ours: claiming.map(isOurs).includes(true), unknown: [...unknown] };
  };
}

/** A device that names no request of its claim may get any of them; "gpu/small" is one of the choices of "gpu". */
function named(requests: readonly ClaimRequest[], requestName: string | undefined): readonly ClaimRequest[] {
  if (requestName === undefined) return requests;
  const [whole] = requestName.split('/', 1);
  return requests.filter(({ name }) => name === whole);
}

/** A watch brings what was written just before the VMI within milliseconds, mostly. */
const PATIENCE_MS = 500;
const LOOK_AGAIN_MS = 10;

/**
 * Judges VMIs whose claims were created in the same breath a moment later, when the watch has brought them. What is
 * not there by then is judged as it is known: claims may well be created after the VMI that waits for them.
 */
export function whenClaimsAreKnown(
  judge: ReviewHandler,
  lookup: ClaimLookup,
): (request: AdmissionRequest) => Verdict | Promise<Verdict> {
  return (request) => (waits(request, lookup) ? judgeLater(judge, request, lookup) : judge(request));
}

async function judgeLater(
  judge: ReviewHandler,
  request: AdmissionRequest,
  lookup: ClaimLookup,
): Promise<Verdict> {
  const end = performance.now() + PATIENCE_MS;
  while (performance.now() < end && waits(request, lookup)) await sleep(LOOK_AGAIN_MS);
  return judge(request);
}

function waits(request: AdmissionRequest, lookup: ClaimLookup): boolean {
  if (request.operation !== 'CREATE' || !isVmi(request)) return false;
  try {
    const { ours, unknown } = lookup(parseVmi(request.object), request.namespace);
    return !ours && unknown.length > 0;
  } catch {
    // Malformed: the handler says how.
    return false;
  }
}
