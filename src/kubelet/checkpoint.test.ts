import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../log/log.js';
import { Checkpoint } from './checkpoint.js';

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
  path = join(dir, 'state.json');
});
afterEach(() => rmSync(dir, { recursive: true }));

const numbers = (json: unknown) =>
  Array.isArray(json) && json.every((item) => typeof item === 'number') ? json : undefined;
const checkpoint = () => new Checkpoint<number[]>(path, numbers);

test('what was written is read, and nothing else is left', async () => {
  expect(await checkpoint().read(silentLog)).toEqual({ kind: 'missing' });
  await checkpoint().write(() => [1, 2]);
  expect(await checkpoint().read(silentLog)).toEqual({ kind: 'read', value: [1, 2] });
  expect(readdirSync(dir)).toEqual(['state.json']);
});

test('of writes that pile up the last one stands, and all are answered', async () => {
  const state = checkpoint();
  let value = 0;
  const encoded: number[] = [];
  const write = () => {
    value++;
    return state.write(() => {
      encoded.push(value);
      return [value];
    });
  };
  await Promise.all([write(), write(), write(), write(), write()]);
  expect(encoded).toEqual([5]);
  expect(await checkpoint().read(silentLog)).toEqual({ kind: 'read', value: [5] });
});

test('the directory is made', async () => {
  path = join(dir, 'a/b/state.json');
  await checkpoint().write(() => [1]);
  expect(await checkpoint().read(silentLog)).toEqual({ kind: 'read', value: [1] });
});

test.each([
  ['truncated', (text: string) => text.slice(0, -4), /no JSON/],
  ['changed', (text: string) => text.replace('[1,2]', '[1,3]'), /checksum/],
  ['of another format', (text: string) => text.replace('"format":1', '"format":9'), /format is 9/],
  ['empty', () => '', /no JSON/],
  ['no object', () => '7', /no JSON object/],
])('a file that is %s is put aside and said so', async (_, damage, because) => {
  await checkpoint().write(() => [1, 2]);
  writeFileSync(path, damage(readFileSync(path, 'utf8')));
  const read = await checkpoint().read(silentLog);
  expect(read).toMatchObject({ kind: 'lost', putAside: `${path}.damaged` });
  expect(read.kind === 'lost' && read.because).toMatch(because);
  expect(await checkpoint().read(silentLog)).toEqual({ kind: 'missing' });
  expect(readdirSync(dir)).toEqual(['state.json.damaged']);
});

test('content of another shape is damage too', async () => {
  await new Checkpoint<unknown>(path, (json) => json).write(() => ({ a: 1 }));
  expect(await checkpoint().read(silentLog)).toMatchObject({ kind: 'lost' });
});

test.each<[string, () => void, RegExp]>([
  ['a folder', () => mkdirSync(path), /EISDIR/],
  [
    'in a folder that is a file',
    () => {
      writeFileSync(path, '');
      path = join(path, 'below.json');
    },
    /ENOTDIR/,
  ],
])('a file that is %s is told, and no error', async (_, make, because) => {
  make();
  const errors: string[] = [];
  const log = { ...silentLog, error: (message: string) => errors.push(message) };
  const read = await checkpoint().read(log);
  expect(read).toMatchObject({ kind: 'lost', putAside: undefined });
  expect(read.kind === 'lost' && read.because).toMatch(because);
  expect(errors).toEqual(['The state cannot be read, nor put aside.']);
});

test('what a killed writer left is removed', async () => {
  await checkpoint().write(() => [1]);
  writeFileSync(join(dir, '.state.json.77-0'), 'half');
  expect(await checkpoint().read(silentLog)).toEqual({ kind: 'read', value: [1] });
  expect(readdirSync(dir)).toEqual(['state.json']);
});

test('a failed write is told and leaves the old state', async () => {
  await checkpoint().write(() => [1]);
  const notThere = new Checkpoint<number[]>(join(path, 'below-a-file.json'), numbers);
  await expect(notThere.write(() => [2])).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
  expect(await checkpoint().read(silentLog)).toEqual({ kind: 'read', value: [1] });
});
