import type { Verdict } from './review.js';

/**
 * API servers pass warnings on in full only while all of them have at most 4,096 characters, and cut each to 256
 * beyond (k8s.io/apiserver, endpoints/filters/warning.go).
 */
const WARNINGS_MAX = 8;
const WARNING_LENGTH = 256;

/** The AdmissionReview that answers a request. What is undefined in it, JSON leaves out. */
export function renderVerdict(uid: string, verdict: Verdict): string {
  const { allowed, warnings = [] } = verdict;
  const told = warnings.length === 0 ? undefined : warnings.slice(0, WARNINGS_MAX).map(cut);
  if (!allowed) return renderResponse({ uid, warnings: told, allowed, status: renderStatus(verdict) });
  const { patch = [] } = verdict;
  if (patch.length === 0) return renderResponse({ uid, warnings: told, allowed });
  const base64 = Buffer.from(JSON.stringify(patch)).toString('base64');
  return renderResponse({ uid, warnings: told, allowed, patchType: 'JSONPatch', patch: base64 });
}

function cut(warning: string): string {
  return warning.slice(0, WARNING_LENGTH);
}

function renderStatus({ code, message, causes = [] }: Extract<Verdict, { allowed: false }>) {
  const status = failure(code, code === 403 ? 'Forbidden' : 'Invalid', message);
  return causes.length === 0 ? status : { ...status, details: { causes } };
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
