import { expect, test } from '@jest/globals';

import { budgetMs } from './deadline.js';

test.each<[string, number]>([
  ['', 10_000],
  ['timeout=', 10_000],
  ['timeout=10s', 9000],
  ['timeout=2s', 1800],
  ['timeout=500ms', 450],
  ['timeout=1m', 10_000],
  ['timeout=30s', 10_000],
  ['timeout=0s', 1],
  ['timeout=-1s', 10_000],
  ['timeout=1h', 10_000],
  ['timeout=9999999999s', 10_000],
  ['a=b&timeout=2s&c=d', 1800],
  ['notimeout=2s', 10_000],
  ['timeout=2s?', 10_000],
])('?%s leaves %p ms of 10,000', (query, expected) => {
  expect(budgetMs(query, 10_000)).toBe(expected);
});
