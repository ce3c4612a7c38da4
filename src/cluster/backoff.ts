import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffOptions {
  /** First pause, milliseconds. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** 0..1, for tests. */
  readonly random?: () => number;
}

/**
 * Pauses that double up to a limit. Each is drawn from the upper half of its range: a thousand agents whose API
 * server came back must not all arrive at once, and none may spin.
 */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  reset(): void {
    this.#failures = 0;
  }

  /** @param atLeastMs what the other side asked for; @returns milliseconds */
  next(atLeastMs = 0): number {
    const { baseMs, maxMs, random = Math.random } = this.#options;
    const range = Math.min(maxMs, baseMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    return Math.max(range * (0.5 + random() / 2), atLeastMs);
  }

  /** Resolves early, without throwing, when the signal is aborted. */
  async pause(signal: AbortSignal, atLeastMs = 0): Promise<void> {
    await pauseFor(this.next(atLeastMs), signal);
  }
}

/** Resolves after `ms`, or as soon as the signal is aborted. */
export async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
