import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import jsonPatch, { type Operation } from 'fast-json-patch';

import { type Affinity, requireNodes } from './node-affinity.js';

const word = fc.constantFrom('a', 'b', 'c');
const expression = fc.record({
  key: word,
  operator: fc.constantFrom('In', 'Gt', 'Exists'),
  values: fc.option(fc.array(word, { minLength: 1, maxLength: 2 }), { nil: undefined }),
});
const term = fc.record(
  {
    matchExpressions: fc.option(fc.array(expression, { maxLength: 3 })),
    matchFields: fc.option(fc.array(fc.constant({ key: 'metadata.name' }), { maxLength: 1 })),
  },
  { requiredKeys: [] },
);
const affinity = fc.option(
  fc.record(
    {
      nodeAffinity: fc.record(
        {
          requiredDuringSchedulingIgnoredDuringExecution: fc.record({
            nodeSelectorTerms: fc.array(term, { minLength: 1, maxLength: 3 }),
          }),
        },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  ),
  { nil: undefined },
);
const requirements = fc.uniqueArray(
  fc.record({
    text: fc.constant(''),
    label: word,
    operator: fc.constantFrom('In' as const, 'Gt' as const),
    value: word,
  }),
  { maxLength: 3, selector: (one) => JSON.stringify(one) },
);

test('what is required is added once, for good, and nothing of a user’s goes or changes', () => {
  fc.assert(
    fc.property(affinity, requirements, (own, wanted) => {
      const before = JSON.parse(JSON.stringify({ spec: { affinity: own } })) as {
        spec: { affinity?: Affinity };
      };
      const operations = requireNodes(before.spec.affinity, wanted);
      // An "add" at an index or a name that is there would move or replace; ours are at the end, or where nothing is.
      for (const { op, path } of operations) {
        expect(op).toBe('add');
        if (!path.endsWith('/-')) expect(jsonPatch.getValueByPointer(before, path) ?? null).toBeNull();
      }
      const { newDocument } = jsonPatch.applyPatch(before, operations as Operation[], true, false);
      expect(requireNodes(newDocument.spec.affinity, wanted)).toEqual([]);
    }),
  );
});
