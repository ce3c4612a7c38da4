import type { JsonPatchOperation } from '../kubevirt/json-patch.js';
import { type Fields, isFields } from '../kubevirt/vmi-fields.js';

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

export type ParsedReview =
  | { readonly ok: true; readonly request: AdmissionRequest }
  | { readonly ok: false; readonly uid: string; readonly message: string };

/** Of an object's uid, which Kubernetes makes 36 characters long. */
const UID_MAX = 128;
const OPERATIONS: readonly unknown[] = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

/**
 * Reads a review field by field: no schema, because every VMI of the cluster passes here, and a schema's answer to each
 * field that Go leaves out took more time than all else that is done for a small review.
 */
export function parseReview(json: unknown): ParsedReview {
  const request = reviewOf(json);
  if (typeof request !== 'string') return { ok: true, request };
  const uid = textOf(fieldsOf(fieldsOf(json)?.['request'])?.['uid']);
  return {
    ok: false,
    uid: uid.length <= UID_MAX ? uid : '',
    message: `not an AdmissionReview v1: ${request}`,
  };
}

/** @returns a text where it is none: the first field that is wrong, and how */
function reviewOf(json: unknown): AdmissionRequest | string {
  const review = fieldsOf(json);
  if (review === undefined) return 'it is no object';
  if (review['apiVersion'] !== 'admission.k8s.io/v1') return 'apiVersion is not admission.k8s.io/v1';
  if (review['kind'] !== 'AdmissionReview') return 'kind is not AdmissionReview';
  const request = fieldsOf(review['request']);
  return request === undefined ? 'request is no object' : requestOf(request);
}

function requestOf(request: Fields): AdmissionRequest | string {
  const { uid, operation, dryRun } = request;
  if (typeof uid !== 'string' || uid === '' || uid.length > UID_MAX)
    return `request.uid is no text of 1 to ${UID_MAX} characters`;
  if (!isOperation(operation)) return `request.operation is none of ${OPERATIONS.join(', ')}`;
  const resource = fieldsOf(request['resource']);
  if (resource === undefined) return 'request.resource is no object';
  if (dryRun != null && typeof dryRun !== 'boolean') return 'request.dryRun is no boolean';
  const user = userOf(request['userInfo'] ?? {});
  if (typeof user === 'string') return user;
  return {
    uid,
    operation,
    resource: {
      group: textOf(resource['group']),
      version: textOf(resource['version']),
      resource: textOf(resource['resource']),
    },
    subResource: textOf(request['subResource']) || undefined,
    name: textOf(request['name']),
    namespace: textOf(request['namespace']),
    username: user.username,
    groups: user.groups,
    dryRun: dryRun ?? false,
    object: request['object'] ?? undefined,
    oldObject: request['oldObject'] ?? undefined,
  };
}

function userOf(json: unknown): Pick<AdmissionRequest, 'username' | 'groups'> | string {
  const user = fieldsOf(json);
  if (user === undefined) return 'request.userInfo is no object';
  const groups = user['groups'] ?? [];
  if (!isTexts(groups)) return 'request.userInfo.groups is no array of texts';
  return { username: textOf(user['username']), groups };
}

function isOperation(json: unknown): json is AdmissionRequest['operation'] {
  return OPERATIONS.includes(json);
}

function fieldsOf(json: unknown): Fields | undefined {
  return isFields(json) ? json : undefined;
}

function isTexts(json: unknown): json is readonly string[] {
  return Array.isArray(json) && json.every((one) => typeof one === 'string');
}

/** What is no text counts as absent. */
function textOf(json: unknown): string {
  return typeof json === 'string' ? json : '';
}
