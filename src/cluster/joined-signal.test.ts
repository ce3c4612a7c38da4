import { getEventListeners } from 'node:events';

import { expect, test } from '@jest/globals';

import { joinSignals } from './joined-signal.js';

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

test('it aborts with the first of its sources, with that one’s reason, and leaves nothing on the others', () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const { signal } = joinSignals(one.signal, undefined, other.signal);
  expect(signal.aborted).toBe(false);
  other.abort(new Error('enough'));
  expect(signal.reason).toMatchObject({ message: 'enough' });
  expect([listeners(one.signal), listeners(other.signal)]).toEqual([0, 0]);
});

test('with a source that has aborted it has aborted too', () => {
  const living = new AbortController();
  const { signal } = joinSignals(living.signal, AbortSignal.abort('before'));
  expect([signal.aborted, signal.reason, listeners(living.signal)]).toEqual([true, 'before', 0]);
});

test('released, it aborts no more, and ten thousand leave a long-lived signal as it was', () => {
  const living = new AbortController();
  const kept = joinSignals(living.signal);
  for (let count = 0; count < 10_000; count++) joinSignals(living.signal).release();
  expect(listeners(living.signal)).toBe(1);
  kept.release();
  living.abort();
  expect(kept.signal.aborted).toBe(false);
});
