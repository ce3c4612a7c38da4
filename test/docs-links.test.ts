import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, test } from '@jest/globals';

const pages = ['README.md', 'CONTRIBUTING.md', ...markdownBelow('docs')];

function markdownBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(dir, name));
}

/** Relative links and pictures of a page; a fragment must be an id or a heading of the page it leads to. */
function brokenLinks(page: string): string[] {
  const text = readFileSync(page, 'utf8').replace(/```.*?```/gs, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [path = '', fragment] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      if (!existsSync(target)) return true;
      return fragment !== undefined && target.endsWith('.md') && !anchors(target).has(fragment);
    });
}

function anchors(page: string): Set<string> {
  const text = readFileSync(page, 'utf8');
  const ids = [...text.matchAll(/<a id="([^"]+)"/g)].map(([, id = '']) => id);
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
  return new Set([...ids, ...headings]);
}

test.each(pages)('%s links to what exists', (page) => {
  expect(brokenLinks(page)).toEqual([]);
});
