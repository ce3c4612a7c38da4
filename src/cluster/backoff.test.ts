import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { Backoff } from './backoff.js';

test('a pause is in the upper half of its range, never below what was asked for, and a range never shrinks', () => {
  const options = fc.record({
    baseMs: fc.integer({ min: 1, max: 5000 }),
    maxMs: fc.integer({ min: 1, max: 60_000 }),
  });
  const draws = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { maxLength: 40 });
  fc.assert(
    fc.property(options, draws, fc.nat({ max: 90_000 }), ({ baseMs, maxMs }, drawn, atLeast) => {
      let draw = 0;
      const backoff = new Backoff({ baseMs, maxMs, random: () => draw });
      let range = Math.min(baseMs, maxMs);
      for (draw of drawn) {
        const pause = backoff.next(atLeast);
        expect(pause).toBeGreaterThanOrEqual(Math.max(range / 2, atLeast));
        expect(pause).toBeLessThanOrEqual(Math.max(range, atLeast));
        range = Math.min(2 * range, maxMs);
      }
      backoff.reset();
      expect(backoff.next()).toBeLessThanOrEqual(Math.min(baseMs, maxMs));
    }),
  );
});
