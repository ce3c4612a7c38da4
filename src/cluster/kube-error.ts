import * as z from 'zod';

import type { ErrorCode } from '../error-codes.js';
import { VsmmuError } from '../errors.js';

interface KubeErrorDetails {
  readonly place: string;
  readonly remedy: string;
  /** HTTP status; undefined where no answer came. */
  readonly status?: number | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly cause?: unknown;
}

/** The API server refused, did not answer, or answered nonsense. Callers tell cases apart by `code`. */
export class KubeError extends VsmmuError {
  readonly status: number | undefined;
  /** How long the API server asked us to stay away. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, { status, retryAfterSeconds, ...details }: KubeErrorDetails) {
    super(code, message, details);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** metav1.Status, the body of every refusal. */
const statusSchema = z.object({
  message: z.string().optional(),
  reason: z.string().optional(),
  code: z.number().optional(),
  details: z.object({ retryAfterSeconds: z.number().optional() }).nullish(),
});

interface Case {
  readonly code: ErrorCode;
  readonly remedy: string;
}

/** By HTTP status; `reason` of the Status tells the two kinds of 409 apart. */
function caseOf(status: number, reason: string | undefined): Case {
  if (status === 409 && reason === 'AlreadyExists')
    return { code: 'KUBE_ALREADY_EXISTS', remedy: 'Read the object that is there and change it.' };
  const known = CASES[status];
  if (known !== undefined) return known;
  if (status >= 500)
    return { code: 'KUBE_UNAVAILABLE', remedy: 'Try again later; see whether the API server is healthy.' };
  return { code: 'KUBE_REFUSED', remedy: 'Correct the request; the message says what is wrong with it.' };
}

const CASES: Readonly<Record<number, Case>> = {
  401: { code: 'KUBE_UNAUTHORIZED', remedy: 'Give a token or certificate that the API server takes.' },
  403: { code: 'KUBE_FORBIDDEN', remedy: 'Give the user or service account the right that is named.' },
  404: { code: 'KUBE_NOT_FOUND', remedy: 'See whether the name is right, and whether its CRD is installed.' },
  409: { code: 'KUBE_CONFLICT', remedy: 'Read the object again and repeat the change.' },
  410: { code: 'KUBE_GONE', remedy: 'List anew; the resource version is too old.' },
  429: { code: 'KUBE_THROTTLED', remedy: 'Wait as long as the API server asks, then try again.' },
};

/** @param body the parsed body, or undefined where it was no JSON @param retryAfter the header of that name */
export function errorOfAnswer(
  place: string,
  status: number,
  body: unknown,
  retryAfter: string | undefined,
): KubeError {
  const parsed = statusSchema.safeParse(body);
  const told = parsed.success ? parsed.data : undefined;
  const { code, remedy } = caseOf(status, told?.reason);
  const seconds = told?.details?.retryAfterSeconds ?? Number(retryAfter ?? Number.NaN);
  return new KubeError(code, told?.message ?? `the API server answered ${status}`, {
    place,
    remedy,
    status,
    retryAfterSeconds: Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined,
  });
}

export function unreachable(place: string, cause: unknown): KubeError {
  return new KubeError('KUBE_UNREACHABLE', 'the API server did not answer', {
    place,
    remedy:
      'See whether its address is right, its certificate matches the CA, and the network lets it through.',
    cause,
  });
}

export function malformedAnswer(place: string, what: string, cause?: unknown): KubeError {
  return new KubeError('KUBE_ANSWER_MALFORMED', `the API server's answer ${what}`, {
    place,
    remedy: 'See whether the address is that of a Kubernetes API server, and what stands in between.',
    cause,
  });
}

export function isKubeError(error: unknown, ...codes: readonly ErrorCode[]): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code));
}
