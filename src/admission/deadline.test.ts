import { expect, test } from '@jest/globals';

import { budgetMs } from './deadline.js';

test.each<[string | null, number]>([
  [null, 10_000],
  ['', 10_000],
  ['10s', 9000],
  ['2s', 1800],
  ['500ms', 450],
  ['1m', 10_000],
  ['30s', 10_000],
  ['0s', 1],
  ['-1s', 10_000],
  ['1h', 10_000],
  ['9999999999s', 10_000],
])('timeout=%p leaves %p ms of 10,000', (query, expected) => {
  expect(budgetMs(query, 10_000)).toBe(expected);
});
