import assert from 'node:assert/strict';

import jsonPatch, { type Operation } from 'fast-json-patch';

import { mutateHandler } from '../../src/admission/mutate.js';
import { placementReasons } from '../../src/admission/placement.js';
import { renderFailure, renderVerdict } from '../../src/admission/review-answer.js';
import { parseReview, type AdmissionRequest } from '../../src/admission/review.js';
import { validateHandler } from '../../src/admission/validate.js';
import {
  HOOK_SIDECARS_ANNOTATION,
  RESOLVED_ANNOTATION,
  SET_ANNOTATION,
} from '../../src/kubevirt/annotations.js';
import { renderAnnotation } from '../../src/kubevirt/write-resolved.js';
import { graceHost } from '../fixtures/domain/host.js';
import { Input } from './input.js';

const RESOURCES = ['vsmmu.io/'];
const HOOK = { image: 'registry.example/vsmmu:1', imagePullPolicy: 'Never' } as const;
const VALUES = renderAnnotation(graceHost(), 'node-1');
const mutate = mutateHandler({
  resources: RESOURCES,
  hook: HOOK,
  lookup: (node) =>
    node === 'node-1' ? { known: true, annotation: VALUES } : { known: false, because: 'not known' },
});
const validate = validateHandler({
  resources: RESOURCES,
  lookup: () => ({ known: false, because: 'not known' }),
  onlyHook: HOOK,
  kubevirtNamespace: 'kubevirt',
  placement: (vmi) => placementReasons(vmi, RESOURCES, []),
});

/**
 * An AdmissionReview as the API server posts it, or a VMI in one that is well formed: it is judged, never a failure of
 * ours; what is patched is ours to patch, nothing else changes, and what was patched is not patched again.
 */
export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const whole = input.pick([true, false]);
  const operation = input.pick(['CREATE', 'UPDATE']);
  const json = parsed(input.text());
  if (json === undefined) return;
  const review = parseReview(whole ? json.value : reviewOf(json.value, operation));
  if (!review.ok) {
    JSON.parse(renderFailure(review.uid, 400, review.message));
    return;
  }
  judge(review.request);
}

function judge(request: AdmissionRequest): void {
  const verdict = mutate(request);
  JSON.parse(renderVerdict(request.uid, verdict));
  JSON.parse(renderVerdict(request.uid, validate(request)));
  if (!verdict.allowed || verdict.patch === undefined || verdict.patch.length === 0) return;

  const before = request.object;
  const after = applied(before, verdict.patch);
  assert.deepEqual(withoutOurs(after), withoutOurs(before), 'only what is ours is changed');
  const again = mutate({ ...request, object: after });
  assert.deepEqual(again.allowed ? (again.patch ?? []) : again, [], 'what was patched is not patched again');
  if (request.operation === 'CREATE')
    assert.equal(annotationsOf(after)[RESOLVED_ANNOTATION], undefined, "no values of the user's own");
  JSON.parse(renderVerdict(request.uid, validate({ ...request, object: after })));
}

function parsed(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function reviewOf(value: unknown, operation: string): unknown {
  const pair = Array.isArray(value) ? (value as unknown[]) : [value, undefined];
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u',
      operation,
      resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
      object: pair[0],
      oldObject: operation === 'UPDATE' ? (pair[1] ?? pair[0]) : undefined,
    },
  };
}

function applied(document: unknown, patch: readonly unknown[]): unknown {
  // Operations of RFC 6902 by their own type, which is narrower than the library's.
  const copy: unknown = JSON.parse(JSON.stringify(document));
  return jsonPatch.applyPatch(copy, patch as Operation[], true).newDocument;
}

/** A VMI without the fields that the webhook may write. */
function withoutOurs(vmi: unknown): unknown {
  const { metadata, spec } = objectOf(vmi);
  const { affinity } = objectOf(spec);
  return {
    ...without(vmi, 'metadata', 'spec'),
    metadata: without(metadata, 'annotations'),
    annotations: without(annotationsOf(vmi), HOOK_SIDECARS_ANNOTATION, RESOLVED_ANNOTATION, SET_ANNOTATION),
    spec: without(spec, 'affinity'),
    affinity: without(affinity, 'nodeAffinity'),
  };
}

function without(value: unknown, ...keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(objectOf(value)).filter(([key]) => !keys.includes(key)));
}

function annotationsOf(vmi: unknown): Record<string, unknown> {
  return objectOf(objectOf(objectOf(vmi)['metadata'])['annotations']);
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
