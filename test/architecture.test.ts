import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

import { expect, test } from '@jest/globals';

import { ERROR_CODES } from '../src/error-codes.js';

interface Folder {
  readonly name: string;
  readonly pure: boolean;
  /** 'everything' or folders of src/. */
  readonly mayImport: 'everything' | ReadonlySet<string>;
}

/** Usable everywhere: addresses, errors, what text and schemas need, the log interface, generated code. */
const COMMON = new Set(['bdf', 'errors', 'error-codes', 'printable', 'schema-issue', 'log', 'gen']);

/** The table in CONTRIBUTING.md. */
function statedFolders(): Folder[] {
  const rows = readFileSync('CONTRIBUTING.md', 'utf8').matchAll(/^\| `src\/([\w-]+)` \| (.*) \| (.*) \|$/gm);
  return [...rows].map(([, name = '', knows = '', imports = '']) => ({
    name,
    pure: knows.endsWith('Pure.'),
    mayImport:
      imports === 'everything'
        ? 'everything'
        : new Set([...imports.matchAll(/`([\w-]+)`/g)].map(([, folder = '']) => folder)),
  }));
}

interface Import {
  readonly file: string;
  /** First part below src/ ("smmu", "errors"), or a package or node: module. */
  readonly of: string;
}

function importsOf(folder: string): Import[] {
  return readdirSync(join('src', folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .flatMap((name) => {
      const file = join('src', folder, name);
      const statements = readFileSync(file, 'utf8').matchAll(/(?:from|import)\(? ?'([^']+)'/g);
      return [...statements].map(([, specifier = '']) => ({ file, of: target(file, specifier) }));
    });
}

function target(file: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  const [, part = ''] = normalize(join(dirname(file), specifier)).split('/');
  return part.replace(/\.js$/, '');
}

const folders = statedFolders().filter(({ name }) => existsSync(join('src', name)));

test('the table names every folder', () => {
  const present = readdirSync('src', { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !COMMON.has(entry.name))
    .map((entry) => entry.name);
  expect(folders.map(({ name }) => name).toSorted()).toEqual(present.toSorted());
});

test.each(folders)('src/$name imports what CONTRIBUTING.md allows', ({ name, mayImport }) => {
  if (mayImport === 'everything') return;
  const ours = new Set(folders.map((folder) => folder.name));
  const forbidden = importsOf(name).filter(
    ({ of }) => ours.has(of) && of !== name && !mayImport.has(of) && !COMMON.has(of),
  );
  expect(forbidden).toEqual([]);
});

test.each(folders.filter(({ pure }) => pure))('src/$name is pure: it uses nothing of Node', ({ name }) => {
  expect(importsOf(name).filter(({ of }) => of.startsWith('node:'))).toEqual([]);
});

test('every error code that users can look up is told somewhere', () => {
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ts$/.test(name) && !/(\.test|error-codes)\.ts$/.test(name))
    .map((name) => readFileSync(join('src', name), 'utf8'))
    .join('\n');
  const told = new Set(sources.match(/\b[A-Z][A-Z0-9_]+\b/g));
  expect(Object.keys(ERROR_CODES).filter((code) => !told.has(code))).toEqual([]);
});
