import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

interface Row {
  readonly fault: string;
  readonly then: string;
  readonly tests: readonly (readonly [string, string])[];
}
const rows = JSON.parse(readFileSync('docs/faults.json', 'utf8')) as readonly Row[];

/** The source in which a test's name stands: its file, or all files of a real suite. */
function sourceOf(place: string): string {
  if (!place.startsWith('real:')) return readFileSync(place, 'utf8');
  const dir = `test/real/${place.slice('real:'.length)}`;
  return readdirSync(dir)
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => readFileSync(`${dir}/${name}`, 'utf8'))
    .join('\n');
}

describe.each(rows)('docs/faults.md: $fault', ({ tests }) => {
  test('has tests', () => expect(tests.length).toBeGreaterThan(0));

  test.each(tests)('%s still has: %s', (place, name) => {
    // In source a quote may be escaped, and a line broken after an opening parenthesis.
    expect(sourceOf(place).replaceAll("\\'", "'")).toContain(name);
  });
});
