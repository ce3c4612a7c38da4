/**
 * A value and its watchers. Every watcher gets the value as it is, then each later one that differs; a slow
 * watcher skips what was replaced meanwhile, as ListAndWatch messages replace each other anyway.
 */
export class Feed<T> {
  #value: T;
  #key: string;
  readonly #keyOf: (value: T) => string;
  readonly #wakers = new Set<() => void>();

  /** @param keyOf equal keys mean that watchers need not hear of it. */
  constructor(value: T, keyOf: (value: T) => string) {
    this.#value = value;
    this.#keyOf = keyOf;
    this.#key = keyOf(value);
  }

  get value(): T {
    return this.#value;
  }

  /** @returns whether watchers were told. */
  set(value: T): boolean {
    const key = this.#keyOf(value);
    this.#value = value;
    if (key === this.#key) return false;
    this.#key = key;
    for (const wake of [...this.#wakers]) wake();
    return true;
  }

  /** @param repeatsMs how long after the last value it is given again although nothing changed, time by time */
  async *watch(signal: AbortSignal, repeatsMs: Iterable<number> = []): AsyncIterable<T> {
    const repeats = repeatsMs[Symbol.iterator]();
    let repeat = repeats.next();
    let sent: string | undefined;
    while (!signal.aborted) {
      if (this.#key !== sent) {
        sent = this.#key;
        yield this.#value;
        continue;
      }
      const idle = await this.change(signal, repeat.done === true ? undefined : repeat.value);
      if (!idle) continue;
      repeat = repeats.next();
      yield this.#value;
    }
  }

  /** Resolves at the next change, when the signal aborts, or after `timeoutMs`: only then with true. */
  change(signal: AbortSignal, timeoutMs?: number): Promise<boolean> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const end = (timedOut: boolean) => {
        clearTimeout(timer);
        this.#wakers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve(timedOut);
      };
      const wake = () => end(false);
      if (timeoutMs !== undefined) timer = setTimeout(end, timeoutMs, true);
      this.#wakers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
      if (signal.aborted) wake();
    });
  }
}
