import { expect, test } from '@jest/globals';
import type { openSync } from 'node:fs';
import { isGroupBusy } from './group-busy.js';

const failing = (code: string): typeof openSync => {
  return () => {
    throw Object.assign(new Error(code), { code });
  };
};

test.each([
  ['EBUSY', true],
  // Not allowed to look, or nothing to look at: not known to be busy.
  ['EPERM', false],
  ['EACCES', false],
  ['ENOENT', false],
  ['ENODEV', false],
])('a group whose open fails with %s: busy is %s', (code, busy) => {
  expect(isGroupBusy('/dev/vfio/1', failing(code))).toBe(busy);
});

test('one that opens is not busy', () => {
  expect(isGroupBusy('/dev/null')).toBe(false);
});
