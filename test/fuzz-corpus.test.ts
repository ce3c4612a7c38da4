import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { afterAll, describe, expect, test } from '@jest/globals';

import { TARGETS } from './fuzz/targets.js';

const CORPUS = fileURLToPath(new URL('fuzz/corpus', import.meta.url));

afterAll(async () => {
  for (const { close } of Object.values(TARGETS)) await close?.();
});

test('every target has a corpus, and every corpus its target', () => {
  expect(readdirSync(CORPUS).sort()).toEqual(Object.keys(TARGETS).sort());
});

/** What coverage-guided fuzzing (npm run test:real -- fuzz) found to reach new code, each crash it found among it. */
describe.each(Object.entries(TARGETS))('the corpus of %s keeps the laws', (name, { fuzz }) => {
  test.each(readdirSync(`${CORPUS}/${name}`))('%s', async (file) => {
    await fuzz(readFileSync(`${CORPUS}/${name}/${file}`));
  });
});
