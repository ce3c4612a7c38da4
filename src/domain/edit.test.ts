import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { applyEdits, type Edit } from './edit.js';

const edit = (start: number, end: number, text: string): Edit => ({ start, end, text, what: '', why: '' });

test.each([
  ['nothing to do', [], 'abcdef'],
  ['an insertion', [edit(2, 2, 'X')], 'abXcdef'],
  ['insertions at one place keep their order', [edit(2, 2, 'X'), edit(2, 2, 'Y')], 'abXYcdef'],
  ['in any order of edits', [edit(4, 5, 'Y'), edit(0, 1, 'X')], 'XbcdYf'],
  ['touching edits', [edit(1, 2, 'X'), edit(2, 3, 'Y')], 'aXYdef'],
  ['an insertion in front of a replacement', [edit(1, 2, 'X'), edit(1, 1, 'I')], 'aIXcdef'],
  ['at both ends', [edit(0, 0, '<'), edit(6, 6, '>')], '<abcdef>'],
  ['all of it', [edit(0, 6, '')], ''],
])('%s', (_, edits, expected) => {
  expect(applyEdits('abcdef', edits)).toBe(expected);
});

test.each([
  ['overlap', [edit(0, 3, ''), edit(2, 4, '')]],
  ['an insertion inside a removal', [edit(0, 3, ''), edit(1, 1, 'X')]],
  ['behind the end', [edit(5, 7, '')]],
  ['backwards', [edit(3, 2, '')]],
])('refused: %s', (_, edits) => {
  expect(() => applyEdits('abcdef', edits)).toThrow(RangeError);
});

test('all text outside the edits stays', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(), fc.nat(), fc.string(), (text, a, b, by) => {
      const [start, end] = [a % (text.length + 1), b % (text.length + 1)].sort((x, y) => x - y) as [
        number,
        number,
      ];
      const result = applyEdits(text, [edit(start, end, by)]);
      expect(result).toBe(text.slice(0, start) + by + text.slice(end));
    }),
  );
});
