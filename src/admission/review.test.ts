import { describe, expect, test } from '@jest/globals';

import { parseReview } from './review.js';

const REQUEST = {
  uid: 'u-1',
  operation: 'CREATE',
  resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
};
const review = (request: unknown) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request,
});

describe('a review', () => {
  test('of the least that an API server sends: what is left out is empty', () => {
    expect(parseReview(review(REQUEST))).toEqual({
      ok: true,
      request: {
        ...REQUEST,
        subResource: undefined,
        name: '',
        namespace: '',
        username: '',
        groups: [],
        dryRun: false,
        object: undefined,
        oldObject: undefined,
      },
    });
  });

  test('of all that is read', () => {
    const whole = {
      ...REQUEST,
      subResource: 'status',
      name: 'vm',
      namespace: 'ns',
      dryRun: true,
      object: { metadata: {} },
      oldObject: { spec: {} },
    };
    const userInfo = { username: 'jane', groups: ['a', 'b'] };
    expect(parseReview(review({ ...whole, userInfo }))).toEqual({
      ok: true,
      request: { ...whole, ...userInfo },
    });
  });

  test("Go's null and its empty text are absent", () => {
    const nulls = { subResource: '', dryRun: null, userInfo: null, object: null, oldObject: null };
    expect(parseReview(review({ ...REQUEST, ...nulls }))).toEqual(parseReview(review(REQUEST)));
    expect(parseReview(review({ ...REQUEST, userInfo: { groups: null } }))).toEqual(
      parseReview(review(REQUEST)),
    );
  });
});

test.each<[unknown, string, string]>([
  [null, 'it is no object', ''],
  [[], 'it is no object', ''],
  [{ ...review(REQUEST), apiVersion: 'admission.k8s.io/v1beta1' }, 'apiVersion', 'u-1'],
  [{ ...review(REQUEST), kind: 'List' }, 'kind', 'u-1'],
  [review(undefined), 'request is no object', ''],
  [review([]), 'request is no object', ''],
  [review({ ...REQUEST, uid: '' }), 'request.uid', ''],
  [review({ ...REQUEST, uid: 1 }), 'request.uid', ''],
  [review({ ...REQUEST, uid: 'u'.repeat(129) }), 'request.uid', ''],
  [review({ ...REQUEST, operation: 'PATCH' }), 'request.operation', 'u-1'],
  [review({ ...REQUEST, resource: undefined }), 'request.resource', 'u-1'],
  [review({ ...REQUEST, dryRun: 'yes' }), 'request.dryRun', 'u-1'],
  [review({ ...REQUEST, userInfo: 'jane' }), 'request.userInfo is', 'u-1'],
  [review({ ...REQUEST, userInfo: { groups: 'admins' } }), 'request.userInfo.groups', 'u-1'],
  [review({ ...REQUEST, userInfo: { groups: [1] } }), 'request.userInfo.groups', 'u-1'],
])('%j is none: %s', (json, flaw, uid) => {
  expect(parseReview(json)).toEqual({ ok: false, uid, message: expect.stringContaining(flaw) as unknown });
});
