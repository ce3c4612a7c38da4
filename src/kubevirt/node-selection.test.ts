import { describe, expect, test } from '@jest/globals';

import { notSelected } from './node-selection.js';
import { parseVmi } from './vmi.js';

const NODE = { name: 'n1', labels: { zone: 'a', 'vsmmu.io/ssidsize': '16' } };
const affinity = (...terms: readonly unknown[]) => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
  },
});
const expression = (key: string, operator: string, ...values: readonly string[]) => ({
  matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values }) }],
});
const field = (operator: string, ...values: readonly string[]) => ({
  matchFields: [{ key: 'metadata.name', operator, values }],
});

describe("a VMI's own choice of nodes", () => {
  test.each<[string, unknown]>([
    ['none', {}],
    ['nodeSelector', { nodeSelector: { zone: 'a' } }],
    ['In', affinity(expression('zone', 'In', 'b', 'a'))],
    ['NotIn of a missing label', affinity(expression('rack', 'NotIn', 'x'))],
    ['Exists', affinity(expression('zone', 'Exists'))],
    ['DoesNotExist', affinity(expression('rack', 'DoesNotExist'))],
    ['Gt', affinity(expression('vsmmu.io/ssidsize', 'Gt', '15'))],
    ['Lt', affinity(expression('vsmmu.io/ssidsize', 'Lt', '17'))],
    ['field', affinity(field('In', 'n1'))],
    ['second of two terms', affinity(expression('zone', 'In', 'b'), expression('zone', 'In', 'a'))],
  ])('lets it there: %s', (_, spec) => {
    expect(notSelected(parseVmi({ metadata: { name: 'v' }, spec }), NODE)).toBeUndefined();
  });

  test.each<[string, unknown, RegExp]>([
    ['nodeSelector', { nodeSelector: { zone: 'b' } }, /nodeSelector: label zone is "a", not "b"/],
    ['missing label', { nodeSelector: { rack: 'b' } }, /label rack is missing/],
    ['In', affinity(expression('zone', 'In', 'b', 'c')), /label zone is "a", wanted: In b c/],
    ['NotIn', affinity(expression('zone', 'NotIn', 'a')), /wanted: NotIn a/],
    ['Gt, as numbers', affinity(expression('vsmmu.io/ssidsize', 'Gt', '16')), /wanted: Gt 16/],
    ['Gt of no number', affinity(expression('zone', 'Gt', '1')), /wanted: Gt 1/],
    [
      'both of a term',
      affinity({
        matchExpressions: [
          { key: 'zone', operator: 'Exists' },
          { key: 'rack', operator: 'Exists' },
        ],
      }),
      /label rack is missing, wanted: Exists/,
    ],
    ['field', affinity(field('NotIn', 'n1')), /field metadata.name is "n1"/],
    ['a malformed field', affinity({ matchFields: [1] }), /cannot be read/],
    ['an unknown operator', affinity(expression('zone', 'Like', 'a')), /wanted: Like a/],
    ['an empty term', affinity({}), /a term is empty/],
    ['each of two terms', affinity(expression('zone', 'In', 'b'), {}), /In b; or a term is empty/],
  ])('keeps it off: %s', (_, spec, reason) => {
    expect(notSelected(parseVmi({ metadata: { name: 'v' }, spec }), NODE)).toMatch(reason);
  });
});
