const FIRST_MS = 50;
const MOST_MS = 5_000;

/** Doubling waits with up to a quarter taken off at random, so that a node's plugins do not knock in step. */
export class Backoff {
  #attempt = 0;

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const whole = Math.min(FIRST_MS * 2 ** this.#attempt, MOST_MS);
    this.#attempt = Math.min(this.#attempt + 1, 20);
    return whole * (1 - Math.random() / 4);
  }

  reset(): void {
    this.#attempt = 0;
  }
}
