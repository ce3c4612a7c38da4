import { expect, test } from '@jest/globals';

import { CallThreads, type CallThread } from './call-thread.js';

async function opensFiles(thread: CallThread): Promise<boolean> {
  const fd = await thread.open('/dev/null');
  await thread.close(fd);
  return true;
}

test('when a probe is over, as many threads stay as were to be kept', async () => {
  const threads = new CallThreads(1);
  const [first, second] = [threads.take(), threads.take()];
  expect(await Promise.all([first, second].map(opensFiles))).toEqual([true, true]);
  threads.giveBack(first);
  threads.giveBack(second);
  await threads.rest();
  expect(threads.take()).toBe(first);
  expect(await opensFiles(first)).toBe(true);
  const another = threads.take();
  expect(another).not.toBe(second);
  await Promise.all([first.end(), another.end()]);
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
