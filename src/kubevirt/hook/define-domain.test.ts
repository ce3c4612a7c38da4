import { describe, expect, test } from '@jest/globals';

import type { ErrorCode } from '../../error-codes.js';
import { VsmmuError } from '../../errors.js';
import type { HostFeatures } from '../../smmu/features.js';
import { RESOLVED_ANNOTATION } from '../annotations.js';
import { defineDomain } from './define-domain.js';

const ANNOTATION = {
  version: 1,
  node: 'gpu-7',
  smmus: { 'smmu3.0x1': { accel: 'on', ats: 'on', ril: 'on', ssidsize: 20, oas: 48 } },
  groups: [{ smmu: 'smmu3.0x1', ats: 'supported' }],
  devices: { '0009:01:00.0': 0 },
};

const encode = (text: string) => new TextEncoder().encode(text);

function vmi(annotation: unknown, nodeName?: string): Uint8Array {
  const annotations = annotation === undefined ? {} : { [RESOLVED_ANNOTATION]: JSON.stringify(annotation) };
  return encode(
    JSON.stringify({
      metadata: { name: 'vm', namespace: 'ns', annotations },
      spec: {},
      status: { nodeName },
    }),
  );
}

function refused(domain: Uint8Array, json: Uint8Array): VsmmuError {
  try {
    defineDomain(domain, json, (xml) => xml);
  } catch (error) {
    if (error instanceof VsmmuError) return error;
  }
  throw new Error('it was answered');
}

test("the rewriter gets the XML and the annotated node's features", () => {
  let seen: HostFeatures | undefined;
  const answer = defineDomain(encode('<domain>ä</domain>'), vmi(ANNOTATION, 'gpu-7'), (xml, host) => {
    seen = host;
    return `${xml}!`;
  });
  expect(new TextDecoder().decode(answer)).toBe('<domain>ä</domain>!');
  expect(seen?.origin).toBe('node gpu-7');
  expect([...(seen?.devices.keys() ?? [])]).toEqual(['0009:01:00.0']);
});

test('a byte order mark stays', () => {
  const domain = new Uint8Array([0xef, 0xbb, 0xbf, ...encode('<domain/>')]);
  expect(defineDomain(domain, vmi(ANNOTATION), (xml) => xml)).toEqual(domain);
});

describe('it fails closed, and says what to do', () => {
  test.each<[string, Uint8Array, ErrorCode]>([
    ['no annotation', vmi(undefined, 'gpu-7'), 'ANNOTATION_MISSING'],
    ['values of another node', vmi(ANNOTATION, 'gpu-8'), 'ANNOTATION_NODE'],
    ['a malformed annotation', vmi({ ...ANNOTATION, groups: {} }), 'ANNOTATION_MALFORMED'],
    ['an annotation of the future', vmi({ ...ANNOTATION, version: 9 }), 'ANNOTATION_VERSION'],
    ['no VMI', encode('[]'), 'VMI_MALFORMED'],
  ])('%s', (_, json, code) => {
    const error = refused(encode('<domain/>'), json);
    expect(error.code).toBe(code);
    expect(error.remedy).toMatch(/\w{4}/);
  });

  test('the VMI and the node are named', () => {
    expect(refused(encode('<domain/>'), vmi(undefined, 'gpu-7'))).toMatchObject({
      place: 'VMI ns/vm',
      message: expect.stringContaining('gpu-7') as unknown,
    });
  });

  test('XML that is not UTF-8', () => {
    expect(refused(new Uint8Array([0x3c, 0xff]), vmi(ANNOTATION)).place).toBe('domainXML');
  });
});
