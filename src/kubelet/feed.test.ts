import { expect, test } from '@jest/globals';
import { Feed } from './feed.js';

async function take<T>(source: AsyncIterator<T>): Promise<T | undefined> {
  const next = await source.next();
  return next.done === true ? undefined : next.value;
}

test('a watcher gets the value as it is, then each that differs', async () => {
  const feed = new Feed([1], String);
  const abort = new AbortController();
  const watcher = feed.watch(abort.signal)[Symbol.asyncIterator]();
  expect(await take(watcher)).toEqual([1]);
  const next = take(watcher);
  expect(feed.set([1])).toBe(false);
  expect(feed.set([2])).toBe(true);
  expect(await next).toEqual([2]);
});

test('a slow watcher skips what was replaced', async () => {
  const feed = new Feed<number>(1, String);
  const watcher = feed.watch(new AbortController().signal)[Symbol.asyncIterator]();
  await take(watcher);
  feed.set(2);
  feed.set(3);
  expect(await take(watcher)).toBe(3);
});

test('an abort ends the watch, waiting or not', async () => {
  const feed = new Feed<number>(1, String);
  const abort = new AbortController();
  const watcher = feed.watch(abort.signal)[Symbol.asyncIterator]();
  await take(watcher);
  const waiting = take(watcher);
  abort.abort();
  expect(await waiting).toBeUndefined();
  expect(await take(feed.watch(abort.signal)[Symbol.asyncIterator]())).toBeUndefined();
});

test('a value is given again as often as asked, and no more', async () => {
  const feed = new Feed('a', (value) => value);
  const stop = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const value of feed.watch(stop.signal, [1, 1])) {
      seen.push(value);
      if (seen.length === 3) feed.set('b');
      if (value === 'b') stop.abort();
    }
  })();
  await watching;
  expect(seen).toEqual(['a', 'a', 'a', 'b']);
});
