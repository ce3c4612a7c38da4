import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { unifiedDiff } from './unified-diff.js';

const plain = { from: 'a', to: 'b', color: false };

test('equal texts have no difference', () => {
  expect(unifiedDiff('x\n', 'x\n', plain)).toBe('');
});

test('a change with three lines around it', () => {
  expect(unifiedDiff('1\n2\n3\n4\n5\n6\n7\n8\n9\n', '1\n2\n3\n4\nV\n6\n7\n8\n9\n', plain)).toBe(
    '--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+V\n 6\n 7\n 8\n',
  );
});

test('distant changes are hunks of their own', () => {
  const text = Array.from({ length: 20 }, (_, index) => `${index}\n`);
  const after = text.map((line, index) => (index === 1 || index === 18 ? `x${line}` : line));
  expect(unifiedDiff(text.join(''), after.join(''), plain).match(/^@@.*@@$/gm)).toEqual([
    '@@ -1,5 +1,5 @@',
    '@@ -16,5 +16,5 @@',
  ]);
});

test('a missing last newline is told', () => {
  expect(unifiedDiff('a\n', 'a', plain)).toBe(
    '--- a\n+++ b\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n',
  );
});

test('colours', () => {
  const colored = unifiedDiff('a\n', 'b\n', { ...plain, color: true });
  expect(colored).toContain('\u001b[31m-a\u001b[0m\n\u001b[32m+b\u001b[0m');
});

const line = fc.constantFrom('a\n', 'b\n', 'c\n', '\n');
const document = fc.array(line, { maxLength: 12 }).map((lines) => lines.join(''));

const PATCH = '/usr/bin/patch';
const withPatch = existsSync(PATCH) ? test : test.skip;

withPatch('patch(1) makes the one text of the other (needs patch)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vsmmu-diff-'));
  const original = join(folder, 'original');
  fc.assert(
    fc.property(document, document, (before, after) => {
      fc.pre(before !== after && before !== '' && after !== '');
      writeFileSync(original, before);
      const diff = unifiedDiff(before, after, plain);
      const patched = execFileSync(PATCH, ['-s', '-u', '-o', '-', original], {
        input: diff,
        encoding: 'utf8',
      });
      expect(patched).toBe(after);
    }),
    { numRuns: 60 },
  );
});
