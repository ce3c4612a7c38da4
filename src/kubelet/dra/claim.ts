import * as z from 'zod';
import { DRA_DRIVER, RESOURCE_CLAIMS } from '../../cluster/dra-resources.js';
import type { KubeClient } from '../../cluster/kube-client.js';
import { VsmmuError } from '../../errors.js';

/** On claims made from a template: the name the pod knows it by (k8s.io/api resource/v1 PodResourceClaimAnnotation). */
const POD_CLAIM_NAME = 'resource.kubernetes.io/pod-claim-name';

export interface ClaimRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A device that the scheduler chose for one request of the claim. */
export interface AllocatedDevice {
  /** "gpu", or "gpu/first" for a subrequest. */
  readonly request: string;
  readonly pool: string;
  readonly device: string;
}

export interface AllocatedClaim extends ClaimRef {
  readonly podClaimName: string | undefined;
  /** Of this driver only. */
  readonly devices: readonly AllocatedDevice[];
}

/** Names become parts of paths; the API server checks them, and this does again. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const REQUEST = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$/;
const NAME = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;
const UID = /^[-A-Za-z0-9]{1,63}$/;

const statusSchema = z.object({
  allocation: z.object({
    devices: z.object({
      results: z
        .array(z.object({ request: z.string(), driver: z.string(), pool: z.string(), device: z.string() }))
        .default([]),
    }),
  }),
});

/**
 * Reads what the scheduler gave a claim. The kubelet names the claim only; its UID is compared, since another one of
 * the same name may be there by now.
 *
 * @throws KubeError; VsmmuError CLAIM_CHANGED, CLAIM_NOT_ALLOCATED
 */
export async function readClaim(
  client: KubeClient,
  ref: ClaimRef,
  signal: AbortSignal,
): Promise<AllocatedClaim> {
  const place = `ResourceClaim ${ref.namespace}/${ref.name}`;
  refuseNames(place, UID.test(ref.uid) && NAME.test(ref.name) && LABEL.test(ref.namespace));
  const { metadata, status } = await client.get(RESOURCE_CLAIMS, ref, signal);
  if (metadata.uid !== ref.uid) {
    throw new VsmmuError(
      'CLAIM_CHANGED',
      `The claim has the UID ${metadata.uid ?? 'none'}, not ${ref.uid}.`,
      {
        place,
        remedy: 'None is needed: the pod of the former claim ends by itself.',
      },
    );
  }
  const parsed = statusSchema.safeParse(status);
  if (!parsed.success) {
    throw new VsmmuError('CLAIM_NOT_ALLOCATED', 'The claim is not allocated.', {
      place,
      remedy: 'Wait for the scheduler; the kubelet tries again.',
    });
  }
  const podClaimName = metadata.annotations?.[POD_CLAIM_NAME];
  const devices = parsed.data.allocation.devices.results
    .filter(({ driver }) => driver === DRA_DRIVER)
    .map(({ request, pool, device }) => ({ request, pool, device }));
  refuseNames(place, podClaimName === undefined || LABEL.test(podClaimName));
  refuseNames(
    place,
    devices.every(({ request }) => REQUEST.test(request)),
  );
  return { ...ref, podClaimName, devices };
}

function refuseNames(place: string, fit: boolean): void {
  if (fit) return;
  throw new VsmmuError('CLAIM_MALFORMED', 'The claim has a name that is none in Kubernetes.', {
    place,
    remedy: 'Look who writes such objects past the API server.',
  });
}
