import { expect, test } from '@jest/globals';

import type { NodeProfile } from '../cluster/node-profile.js';
import { nodeLookup } from './node-values.js';

const MINUTE = 60_000;
const NOW = Date.parse('2026-06-01T12:00:00Z');

function profile(node: string, renewedAt: number | undefined): NodeProfile {
  return {
    node,
    uid: 'u',
    annotation: `of ${node}`,
    annotationWithModels: () => `models of ${node}`,
    features: { origin: node, devices: new Map() },
    devices: new Map(),
    renewedAt,
  };
}

const profiles = new Map([
  ['fresh', profile('fresh', NOW - 59 * MINUTE)],
  ['silent', profile('silent', NOW - 61 * MINUTE)],
  ['ahead', profile('ahead', NOW + 5 * MINUTE)],
  ['mute', profile('mute', undefined)],
]);
const cache = {
  get: (node: string) => profiles.get(node),
  unusable: () => [{ key: 'newer', error: new Error('spec.x') }],
};

test.each<[string, number, string | RegExp]>([
  ['fresh', 60, 'of fresh'],
  ['silent', 60, /silent for 61 minutes/],
  ['silent', 0, 'of silent'],
  ['ahead', 60, 'of ahead'],
  ['mute', 60, /first report/],
  ['mute', 0, 'of mute'],
  ['newer', 60, /cannot be read/],
  ['nowhere', 60, /no NodeProfile/],
])('node %s, at most %p minutes: %p', (node, minutes, expected) => {
  const values = nodeLookup(cache, { maxAgeMs: minutes * MINUTE, now: () => NOW })(node, 1);
  if (typeof expected === 'string') expect(values).toEqual({ known: true, annotation: expected });
  else expect(values).toEqual({ known: false, because: expect.stringMatching(expected) as unknown });
});

test('version 2 is the annotation with models', () => {
  const values = nodeLookup(cache, { maxAgeMs: 0 })('fresh', 2);
  expect(values).toEqual({ known: true, annotation: 'models of fresh' });
});
