import type { HintSource } from './hints.js';
import { pause } from './pause.js';

export interface ChangeBellOptions {
  readonly hints: readonly HintSource[];
  /** A binding makes several events; what comes within this time is one ring. */
  readonly settleMs?: number | undefined;
  /** It also rings after so long without a hint. */
  readonly rescanMs: number;
}

/** Short enough for "within a second", long enough for the events of one binding. */
const SETTLE_MS = 100;

/** Rings when a second look at the host may be worth it; remembers that it was rung while nobody listened. */
export class ChangeBell {
  readonly #hints: readonly HintSource[];
  readonly #settleMs: number;
  readonly #rescanMs: number;
  #rang = false;
  #wake: () => void = () => undefined;

  constructor({ hints, settleMs = SETTLE_MS, rescanMs }: ChangeBellOptions) {
    this.#hints = hints;
    this.#settleMs = Math.min(settleMs, rescanMs);
    this.#rescanMs = rescanMs;
    for (const hint of hints) hint.listen(() => this.ring());
  }

  ring(): void {
    this.#rang = true;
    this.#wake();
  }

  /** @returns what it rang for, after things have settled; "end" where the signal aborted */
  async next(signal: AbortSignal): Promise<'hint' | 'rescan' | 'end'> {
    if (!this.#rang) await this.#wait(signal);
    const why = this.#rang ? 'hint' : 'rescan';
    if (!signal.aborted) await pause(this.#settleMs, signal);
    if (signal.aborted) return 'end';
    this.#rang = false;
    return why;
  }

  /** Gives up what the hints hold. */
  close(): void {
    for (const hint of this.#hints) hint.close();
  }

  /** Until it is rung, the time is over or the signal aborts; leaves nothing behind at the signal. */
  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, this.#rescanMs);
      this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }
}
