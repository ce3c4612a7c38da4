import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import * as z from 'zod';

const DIR = '.github/workflows';
const scripts = z
  .looseObject({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync('package.json', 'utf8'))).scripts;
const step = z.looseObject({ uses: z.string().optional(), run: z.string().optional() });
const workflow = z.looseObject({
  permissions: z.record(z.string(), z.string()),
  jobs: z.record(
    z.string(),
    z.looseObject({
      'timeout-minutes': z.number(),
      steps: z.array(step),
      permissions: z.record(z.string(), z.string()).optional(),
    }),
  ),
});

describe.each(readdirSync(DIR))('workflow %s', (file) => {
  const { permissions, jobs } = workflow.parse(parse(readFileSync(join(DIR, file), 'utf8')));
  const steps = Object.values(jobs).flatMap((job) => job.steps);

  test('may read the repository, and no more unless a job says so', () => {
    expect(permissions).toEqual({ contents: 'read' });
  });

  test('names every action by the hash of a commit', () => {
    for (const { uses } of steps) if (uses !== undefined) expect(uses).toMatch(/^[\w./-]+@[0-9a-f]{40}$/);
  });

  test('runs only npm scripts that there are', () => {
    const named = steps.flatMap(({ run = '' }) =>
      [...run.matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, name = '']) => name),
    );
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });
});
