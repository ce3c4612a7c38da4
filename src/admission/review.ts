import * as z from 'zod';

import type { JsonPatchOperation } from '../kubevirt/json-patch.js';

/** What is read of an AdmissionReview (admission.k8s.io/v1, k8s.io/api/admission/v1/types.go). */
export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly resource: { readonly group: string; readonly version: string; readonly resource: string };
  readonly subResource: string | undefined;
  readonly name: string;
  readonly namespace: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly dryRun: boolean;
  /** undefined on DELETE and CONNECT. */
  readonly object: unknown;
  readonly oldObject: unknown;
}

/** Why a field is refused, as Kubernetes' own validation says it. */
export interface FieldCause {
  readonly reason:
    'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueDuplicate' | 'FieldValueNotSupported';
  /** "spec.domain.devices.gpus[0].deviceName" */
  readonly field: string;
  readonly message: string;
}

export type Verdict =
  | {
      readonly allowed: true;
      readonly patch?: readonly JsonPatchOperation[];
      readonly warnings?: readonly string[];
    }
  | {
      readonly allowed: false;
      readonly code: 403 | 422;
      readonly message: string;
      readonly causes?: readonly FieldCause[];
      readonly warnings?: readonly string[];
    };

/** A refusal that names every field in its message too: many clients show nothing else. */
export function refusal(code: 403 | 422, causes: readonly FieldCause[]): Verdict {
  const message = causes.map(({ field, message: why }) => `${field}: ${why}`).join('; ');
  return { allowed: false, code, message: `vsmmu: ${message}`, causes };
}

const text = z.string().catch('');
const reviewSchema = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string().min(1).max(128),
    operation: z.enum(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']),
    resource: z.object({ group: text, version: text, resource: text }),
    subResource: text,
    name: text,
    namespace: text,
    dryRun: z.boolean().nullish(),
    userInfo: z.object({ username: text, groups: z.array(z.string()).nullish() }).nullish(),
    object: z.unknown().optional(),
    oldObject: z.unknown().optional(),
  }),
});

export type ParsedReview =
  | { readonly ok: true; readonly request: AdmissionRequest }
  | { readonly ok: false; readonly uid: string; readonly message: string };

export function parseReview(json: unknown): ParsedReview {
  const parsed = reviewSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const path = issue?.path.map(String).join('.') ?? '';
    return {
      ok: false,
      uid: uidOf(json),
      message: `not an AdmissionReview v1: ${path}: ${issue?.message ?? ''}`,
    };
  }
  const { uid, operation, resource, subResource, name, namespace, dryRun, userInfo, object, oldObject } =
    parsed.data.request;
  return {
    ok: true,
    request: {
      uid,
      operation,
      resource,
      subResource: subResource === '' ? undefined : subResource,
      name,
      namespace,
      username: userInfo?.username ?? '',
      groups: userInfo?.groups ?? [],
      dryRun: dryRun ?? false,
      object: object ?? undefined,
      oldObject: oldObject ?? undefined,
    },
  };
}

const uidSchema = z.object({ request: z.object({ uid: z.string().max(128) }) });

function uidOf(json: unknown): string {
  const parsed = uidSchema.safeParse(json);
  return parsed.success ? parsed.data.request.uid : '';
}

/**
 * API servers pass warnings on in full only while all of them have at most 4,096 characters, and cut each to 256
 * beyond (k8s.io/apiserver, endpoints/filters/warning.go).
 */
const WARNINGS_MAX = 8;
const WARNING_LENGTH = 256;

/** The AdmissionReview that answers a request. */
export function renderVerdict(uid: string, verdict: Verdict): string {
  const warnings = (verdict.warnings ?? [])
    .slice(0, WARNINGS_MAX)
    .map((warning) => warning.slice(0, WARNING_LENGTH));
  const shared = { uid, ...(warnings.length === 0 ? {} : { warnings }) };
  return renderResponse(
    verdict.allowed
      ? { ...shared, allowed: true, ...renderPatch(verdict.patch ?? []) }
      : { ...shared, allowed: false, status: renderStatus(verdict) },
  );
}

function renderPatch(patch: readonly JsonPatchOperation[]) {
  if (patch.length === 0) return {};
  return { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') };
}

function renderStatus({ code, message, causes = [] }: Extract<Verdict, { allowed: false }>) {
  return {
    ...failure(code, code === 403 ? 'Forbidden' : 'Invalid', message),
    ...(causes.length === 0 ? {} : { details: { causes } }),
  };
}

/** Reasons of metav1.Status for the HTTP statuses the server answers with by itself. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  405: 'MethodNotAllowed',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** A request that could not be judged, in the shape the caller parses: an AdmissionReview that allows nothing. */
export function renderFailure(uid: string, code: number, message: string): string {
  return renderResponse({ uid, allowed: false, status: failure(code, REASONS[code] ?? 'Unknown', message) });
}

function failure(code: number, reason: string, message: string) {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message };
}

function renderResponse(response: object): string {
  return JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response });
}
