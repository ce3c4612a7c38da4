import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';

import { giveBackNow, keepSmall } from './keep-small.js';

const MIB = 1024 * 1024;

describe('a process that is kept small', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  function kept(residents: readonly number[], { available = true, env = {} } = {}) {
    const stop = new AbortController();
    const looks: number[] = [];
    const given: number[] = [];
    const begun = Date.now();
    let mib = residents[0] ?? 0;
    const ended = keepSmall(stop.signal, {
      env,
      atMostMs: 4_000,
      resident: () => {
        const at = Date.now() - begun;
        if (looks.at(-1) !== at) {
          looks.push(at);
          mib = residents[looks.length - 1] ?? residents.at(-1) ?? 0;
        }
        return mib * MIB;
      },
      open: () =>
        Promise.resolve(available ? { trim: () => undefined, dontNeed: () => undefined } : undefined),
      release: () => {
        given.push(Date.now() - begun);
        mib = 30;
      },
    });
    return { stop, looks, given, ended };
  }

  test('gives back once after the start, and then looks more and more rarely', async () => {
    const { stop, looks, given, ended } = kept([60, 33, 34, 35, 36]);
    await jest.advanceTimersByTimeAsync(16_000);
    stop.abort();
    await ended;
    expect(looks).toEqual([1_000, 2_000, 4_000, 8_000, 12_000, 16_000]);
    expect(given).toEqual([1_000]);
  });

  test('gives back again when 16 MiB came since', async () => {
    const { stop, given, ended } = kept([60, 46, 47, 46]);
    await jest.advanceTimersByTimeAsync(10_000);
    stop.abort();
    await ended;
    expect(given).toEqual([1_000, 4_000]);
  });

  test('ends where nothing can be given back', async () => {
    const { given, ended } = kept([60], { available: false });
    await jest.advanceTimersByTimeAsync(1_000);
    await ended;
    expect(given).toEqual([]);
  });

  test('looks again later where /proc could not be read, as without a free file descriptor', async () => {
    const stop = new AbortController();
    let looks = 0;
    const given: number[] = [];
    const ended = keepSmall(stop.signal, {
      env: {},
      atMostMs: 4_000,
      resident: () => {
        looks += 1;
        if (looks === 1) throw Object.assign(new Error('uv_resident_set_memory'), { code: 'EMFILE' });
        return 60 * MIB;
      },
      open: () => Promise.resolve({ trim: () => undefined, dontNeed: () => undefined }),
      release: () => {
        if (given.push(looks) === 1) throw Object.assign(new Error('/proc/self/smaps'), { code: 'EMFILE' });
      },
    });
    await jest.advanceTimersByTimeAsync(9_000);
    stop.abort();
    await ended;
    expect(given).toEqual([2, 3]);
  });

  test('does not begin where it is told not to', async () => {
    const { looks, ended } = kept([60], { env: { VSMMU_GIVE_BACK: 'never' } });
    await ended;
    expect(looks).toEqual([]);
  });

  test('leaves no timer behind', async () => {
    const { stop, ended } = kept([60]);
    stop.abort();
    await ended;
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('what is given back at once', () => {
  const calls = { trim: () => undefined, dontNeed: () => undefined };

  test.each<[string, NodeJS.ProcessEnv, () => Promise<typeof calls | undefined>, number]>([
    ['once', {}, () => Promise.resolve(calls), 1],
    ['never where that is said', { VSMMU_GIVE_BACK: 'never' }, () => Promise.resolve(calls), 0],
    ['not where it cannot be', {}, () => Promise.resolve(undefined), 0],
    ['not where asking fails', {}, () => Promise.reject(new Error('EMFILE')), 0],
  ])('%s', async (_, env, open, times) => {
    let given = 0;
    await giveBackNow({ env, open, release: () => given++ });
    expect(given).toBe(times);
  });
});
