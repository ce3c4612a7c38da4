import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { type LabelRequirement, selects } from './label-selector.js';

const key = fc.constantFrom('a', 'b', 'constructor', 'toString');
const value = fc.constantFrom('', '1', '2');
const labels = fc.dictionary(key, value);
const requirement = fc.record({
  key,
  operator: fc.constantFrom<LabelRequirement['operator']>('In', 'NotIn', 'Exists', 'DoesNotExist'),
  values: fc.array(value, { minLength: 1 }),
});
const OPPOSITE = { In: 'NotIn', NotIn: 'In', Exists: 'DoesNotExist', DoesNotExist: 'Exists' } as const;

test('a label that every object inherits is missing where nobody set it', () => {
  expect(selects({ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, {})).toBe(false);
});

test('a requirement and its opposite: always one of them holds', () => {
  fc.assert(
    fc.property(requirement, labels, (one, of) => {
      const other = { ...one, operator: OPPOSITE[one.operator] };
      expect(selects({ matchExpressions: [one] }, of)).not.toBe(selects({ matchExpressions: [other] }, of));
    }),
  );
});

test('matchLabels is In with one value', () => {
  fc.assert(
    fc.property(labels, labels, (matchLabels, of) => {
      const matchExpressions = Object.entries(matchLabels).map(([name, is]): LabelRequirement => ({
        key: name,
        operator: 'In',
        values: [is],
      }));
      expect(selects({ matchLabels }, of)).toBe(selects({ matchExpressions }, of));
    }),
  );
});

test('a requirement more never selects more, and their order does not matter', () => {
  fc.assert(
    fc.property(fc.array(requirement), requirement, labels, (some, another, of) => {
      const more = selects({ matchExpressions: [...some, another] }, of);
      expect(more && !selects({ matchExpressions: some }, of)).toBe(false);
      expect(selects({ matchExpressions: [another, ...some].reverse() }, of)).toBe(more);
    }),
  );
});
