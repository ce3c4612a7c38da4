import { expect, test } from '@jest/globals';

import { CallThreads, type CallThread } from './call-thread.js';

async function opensFiles(thread: CallThread): Promise<boolean> {
  const fd = await thread.open('/dev/null');
  await thread.close(fd);
  return true;
}

test('when a probe is over, as many threads stay as it asks on at one time, and are used again', async () => {
  const threads = new CallThreads(4);
  const taken = Array.from({ length: 5 }, () => threads.take());
  expect(await Promise.all(taken.map(opensFiles))).toEqual(taken.map(() => true));
  for (const thread of taken) threads.giveBack(thread);
  await threads.rest();
  const again = Array.from({ length: 5 }, () => threads.take());
  expect(again.filter((thread) => taken.includes(thread))).toHaveLength(4);
  expect(await Promise.all(again.map(opensFiles))).toEqual(again.map(() => true));
  await Promise.all(again.map((thread) => thread.end()));
});

test('none stays where nothing probes again', async () => {
  const threads = new CallThreads();
  const first = threads.take();
  expect(await opensFiles(first)).toBe(true);
  threads.giveBack(first);
  await threads.rest();
  const another = threads.take();
  expect(another).not.toBe(first);
  await another.end();
});
