import { setTimeout as pause } from 'node:timers/promises';

/**
 * Waits for a condition instead of a time: looks again and again until `look` returns something truthy.
 * What it throws meanwhile counts as "not yet" and is named if it never comes.
 * @template T @param {string} what @param {() => T | Promise<T>} look @param {number} seconds
 * @returns {Promise<NonNullable<T>>}
 */
export async function eventually(what, look, seconds = 20) {
  const end = performance.now() + seconds * 1000;
  let last = 'nothing yet';
  for (;;) {
    try {
      const seen = await look();
      if (seen) return seen;
      last = `last seen: ${JSON.stringify(seen)}`;
    } catch (error) {
      last = String(error?.message ?? error);
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s (${last})`);
    await pause(5);
  }
}
