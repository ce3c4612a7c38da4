import { ChangeBell, type ChangeBellOptions } from './change-bell.js';
import { fingerprint } from './fingerprint.js';
import type { HostSource } from './host-source.js';
import { diffReports, type HostChange } from './report-diff.js';
import type { HostReport } from './report.js';

export interface WatchOptions extends Omit<ChangeBellOptions, 'rescanMs'> {
  /** The host as it is now, for a cheap look whether anything changed. */
  readonly source: HostSource;
  readonly scan: (signal: AbortSignal) => Promise<HostReport>;
  readonly signal: AbortSignal;
  /** Between two looks without a hint. */
  readonly rescanMs?: number;
}

export interface HostUpdate {
  readonly report: HostReport;
  /** Empty at the first report. */
  readonly changes: readonly HostChange[];
}

const RESCAN_MS = 30_000;

/**
 * The host's report, and a new one each time something changed, until the signal aborts. A look that finds
 * the host unchanged costs one system call for each function, and nothing is told.
 */
export async function* watchHost(options: WatchOptions): AsyncGenerator<HostUpdate, void, void> {
  const { source, scan, signal } = options;
  const bell = new ChangeBell({ ...options, rescanMs: options.rescanMs ?? RESCAN_MS });
  // A generator that nobody asks again never reaches its end: the signal alone must free what it holds.
  const release = () => bell.close();
  signal.addEventListener('abort', release, { once: true });
  try {
    let seen = fingerprint(source);
    let report = await scan(signal);
    yield { report, changes: [] };
    while ((await bell.next(signal)) !== 'end') {
      const now = fingerprint(source);
      if (now === seen) continue;
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
