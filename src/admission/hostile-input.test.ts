import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { VsmmuError } from '../errors.js';
import { featuresForVmi } from '../kubevirt/hook/define-domain.js';
import {
  HOOK_SIDECARS_ANNOTATION,
  REQUIRE_ANNOTATION,
  RESOLVED_ANNOTATION,
  SET_ANNOTATION,
} from '../kubevirt/annotations.js';
import { parseAnnotation } from '../kubevirt/read-resolved.js';
import { parseVmi, parseVmiBytes } from '../kubevirt/vmi.js';
import { mutateHandler } from './mutate.js';
import { placementReasons } from './placement.js';
import { renderVerdict } from './review-answer.js';
import { parseReview } from './review.js';
import { validateHandler } from './validate.js';

/** JSON of any shape, with the names that code reads, and those that JavaScript's objects inherit, among the keys. */
const KEYS = [
  'metadata',
  'annotations',
  'spec',
  'domain',
  'devices',
  'gpus',
  'hostDevices',
  'deviceName',
  'status',
  'nodeName',
  'affinity',
  'nodeAffinity',
  'requiredDuringSchedulingIgnoredDuringExecution',
  'nodeSelectorTerms',
  'matchExpressions',
  'version',
  'smmus',
  'groups',
  'request',
  'uid',
  '__proto__',
  'constructor',
  'toString',
  HOOK_SIDECARS_ANNOTATION,
  REQUIRE_ANNOTATION,
  RESOLVED_ANNOTATION,
  SET_ANNOTATION,
];
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<unknown>(
      null,
      true,
      0,
      -1,
      1e308,
      '',
      'vsmmu.io/x',
      '0009:01:00.0',
      '{',
      '[{"image":1}]',
      '\u0000<&"\ud800',
    ),
    fc.array(tie('json'), { maxLength: 3 }),
    // fromEntries defines own properties, as JSON.parse does, "__proto__" too.
    fc
      .array(fc.tuple(fc.constantFrom(...KEYS), tie('json')), { maxLength: 5 })
      .map((entries) => Object.fromEntries(entries)),
  ),
}));
const vmi = fc.record({
  metadata: fc.record({
    annotations: fc.oneof(
      json,
      fc.dictionary(
        fc.constantFrom(...KEYS),
        fc.oneof(
          fc.string(),
          json.map((value) => JSON.stringify(value)),
        ),
      ),
    ),
  }),
  spec: fc.oneof(json, fc.record({ domain: fc.record({ devices: json }), affinity: json })),
  status: json,
});

/** Runs it; anything but a result or an error of ours fails the test. */
function survives(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof VsmmuError)) throw error;
  }
}

const resources = ['vsmmu.io/'];
const lookup = () => ({ known: false, because: 'nothing is known' }) as const;
const mutate = mutateHandler({ resources, hook: { image: 'i', imagePullPolicy: 'Never' }, lookup });
const validate = validateHandler({
  resources,
  lookup,
  onlyHook: { image: 'i', imagePullPolicy: 'Always' },
  kubevirtNamespace: 'kubevirt',
  placement: (one) => placementReasons(one, resources, []),
});

describe('no input makes it fail in another way than by a refusal', () => {
  test('a review of any shape', () => {
    fc.assert(
      fc.property(json, (value) => survives(() => parseReview(value))),
      { numRuns: 1000 },
    );
  });

  test('a VMI of any shape, created and updated, mutated and validated; and the answer is JSON again', () => {
    fc.assert(
      fc.property(
        fc.oneof(json, vmi),
        fc.oneof(json, vmi),
        fc.constantFrom('CREATE', 'UPDATE', 'DELETE'),
        (object, oldObject, operation) => {
          const review = parseReview({
            apiVersion: 'admission.k8s.io/v1',
            kind: 'AdmissionReview',
            request: {
              uid: 'u',
              operation,
              resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
              object,
              oldObject,
            },
          });
          if (!review.ok) throw new Error(review.message);
          for (const handler of [mutate, validate]) JSON.parse(renderVerdict('u', handler(review.request)));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('what virt-launcher hands to the hook', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => survives(() => parseVmiBytes(bytes))));
    fc.assert(
      fc.property(vmi, (value) => survives(() => featuresForVmi(parseVmi(value)))),
      { numRuns: 1000 },
    );
  });

  test('the annotation', () => {
    fc.assert(
      fc.property(json, (value) => survives(() => parseAnnotation(JSON.stringify(value)))),
      { numRuns: 1000 },
    );
    fc.assert(fc.property(fc.string(), (text) => survives(() => parseAnnotation(text))));
  });
});

test('a hundred thousand levels of JSON are refused, not followed', () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  survives(() => parseVmiBytes(new TextEncoder().encode(deep)));
  expect(parseReview(JSON.parse(deep)).ok).toBe(false);
});
