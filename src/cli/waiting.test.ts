import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';

import { capturedIo } from '../../test/captured-io.js';
import { waiting } from './waiting.js';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const after = (ms: number) => new Promise<string>((resolve) => setTimeout(() => resolve('done'), ms));

test('says since when, once a second, and takes it away', async () => {
  const io = { ...capturedIo(), progress: true };
  const work = waiting(io, 'asking devices', after(2500));
  await jest.advanceTimersByTimeAsync(2500);
  expect(await work).toBe('done');
  expect(io.err()).toBe('\rasking devices … 1 s\rasking devices … 2 s\r\u001b[K');
  expect(io.out()).toBe('');
});

test.each([
  ['work that is over soon', true, 900],
  ['a reader that is no terminal', false, 5000],
])('says nothing about %s', async (_what, progress, ms) => {
  const io = { ...capturedIo(), progress };
  const work = waiting(io, 'asking devices', after(ms));
  await jest.advanceTimersByTimeAsync(ms);
  await work;
  expect(io.err()).toBe('');
});

test('takes the line away after a failure too', async () => {
  const io = { ...capturedIo(), progress: true };
  const work = waiting(
    io,
    'asking devices',
    after(1500).then(() => Promise.reject(new Error('gone'))),
  );
  const told = expect(work).rejects.toThrow('gone');
  await jest.advanceTimersByTimeAsync(1500);
  await told;
  expect(io.err()).toBe('\rasking devices … 1 s\r\u001b[K');
});
