import type { CliIo } from './io.js';

/** Nothing is said of work that is over sooner. */
const QUIET_MS = 1000;

/**
 * Awaits work that may take long, and tells a person at a terminal what is waited for and since when; the line is
 * taken away at the end. Elsewhere nothing is written: a log needs no clock.
 *
 * @param what "asking devices"
 */
export async function waiting<T>(io: CliIo, what: string, work: Promise<T>): Promise<T> {
  if (!io.progress) return work;
  const begun = performance.now();
  let lines = 0;
  const timer = setInterval(() => {
    lines += 1;
    io.stderr.write(`\r${what} … ${Math.round((performance.now() - begun) / 1000)} s`);
  }, QUIET_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    // Back to the start of the line, and clear it.
    if (lines > 0) io.stderr.write('\r\u001b[K');
  }
}
