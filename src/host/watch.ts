import { pause } from './pause.js';
import { fingerprint } from './fingerprint.js';
import type { HintSource } from './hints.js';
import type { HostSource } from './host-source.js';
import { diffReports, type HostChange } from './report-diff.js';
import type { HostReport } from './report.js';

export interface WatchOptions {
  /** The host as it is now, for a cheap look whether anything changed. */
  readonly source: HostSource;
  readonly scan: (signal: AbortSignal) => Promise<HostReport>;
  readonly signal: AbortSignal;
  readonly hints: readonly HintSource[];
  /** A binding makes several events; what comes within this time is one look. */
  readonly settleMs?: number;
  /** Between two looks without a hint. */
  readonly rescanMs?: number;
}

export interface HostUpdate {
  readonly report: HostReport;
  /** Empty at the first report. */
  readonly changes: readonly HostChange[];
}

/** Short enough for "within a second", long enough for the events of one binding. */
const SETTLE_MS = 100;
const RESCAN_MS = 30_000;

/**
 * The host's report, and a new one each time something changed, until the signal aborts. A look that finds
 * the host unchanged costs one system call for each function, and nothing is told.
 */
export async function* watchHost(options: WatchOptions): AsyncGenerator<HostUpdate, void, void> {
  const { source, scan, signal, hints } = options;
  const bell = new Bell(options.rescanMs ?? RESCAN_MS, signal);
  for (const hint of hints) hint.listen(() => bell.ring());
  // A generator that nobody asks again never reaches its end: the signal alone must free what it holds.
  const release = () => {
    for (const hint of hints) hint.close();
    bell.close();
  };
  signal.addEventListener('abort', release, { once: true });
  try {
    let seen = fingerprint(source);
    let report = await scan(signal);
    yield { report, changes: [] };
    while (await bell.rung()) {
      await pause(options.settleMs ?? SETTLE_MS, signal);
      bell.silence();
      const now = fingerprint(source);
      if (now === seen || isAborted(signal)) continue;
      seen = now;
      const next = await scan(signal);
      const changes = diffReports(report, next);
      report = next;
      if (changes.length > 0) yield { report, changes };
    }
  } catch (error) {
    // Told to end amid a scan: that is an end like any other.
    if (!isAborted(signal)) throw error;
  } finally {
    signal.removeEventListener('abort', release);
    release();
  }
}

/** The abort may have come while something else was awaited. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Remembers that it was rung while nobody waited. */
class Bell {
  readonly #signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  #rang = false;
  #wake: () => void = () => undefined;

  constructor(everyMs: number, signal: AbortSignal) {
    this.#signal = signal;
    this.#timer = setInterval(() => this.ring(), everyMs);
  }

  ring(): void {
    this.#rang = true;
    this.#wake();
  }

  silence(): void {
    this.#rang = false;
  }

  /** @returns false when the signal aborted */
  async rung(): Promise<boolean> {
    if (!this.#rang)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (this.#signal.aborted) resolve();
      });
    return !this.#signal.aborted;
  }

  /** Wakes who waits, so that it sees the abort. */
  close(): void {
    clearInterval(this.#timer);
    this.ring();
  }
}
