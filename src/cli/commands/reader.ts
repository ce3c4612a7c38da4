import { ExitStatus, messageOf } from '../../errors.js';
import { CallThreads } from '../../host/call-thread.js';
import { ChangeBell } from '../../host/change-bell.js';
import { liveHints } from '../../host/live-hints.js';
import { openHost, type OpenHostOptions } from '../../host/open-host.js';
import { LANES, probeHost } from '../../host/probe.js';
import type { HostReport } from '../../host/report.js';
import { rememberReplies, type ProbeMemory } from '../../host/remembered-probe.js';
import type { Log } from '../../log/log.js';
import { winstonLog, type LogFormat, type LogLevel } from '../../log/winston-log.js';
import type { CliIo } from '../io.js';

export interface ReaderCommandOptions extends Pick<OpenHostOptions, 'root' | 'cachePath'> {
  /** Read once and end. */
  readonly once: boolean;
  readonly rescanSeconds: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

interface KeptBetweenLooks {
  readonly threads: CallThreads;
  readonly memory: ProbeMemory;
}

/** A device may take 30 s and more to open; the agent shall have the answers of the others meanwhile. */
const PATIENCE_MS = 5_000;

/**
 * `vsmmu reader`: asks the kernel what only a privileged process may ask, and keeps the answers under /run/vsmmu,
 * where `vsmmu agent --no-bind` finds them. It needs neither a network nor a token, so the one process of a node
 * with privilege has nothing to be attacked by but the kernel.
 */
export async function runReader(options: ReaderCommandOptions, io: CliIo): Promise<ExitStatus> {
  const log = winstonLog(io.stderr, { level: options.logLevel, format: options.logFormat });
  // Threads are kept only by what probes again.
  const threads = new CallThreads(options.once ? 0 : LANES);
  const bell = options.once
    ? undefined
    : new ChangeBell({ hints: await liveHints(), rescanMs: options.rescanSeconds * 1000 });
  try {
    let told = '';
    const memory: ProbeMemory = new Map();
    do {
      told = await read({ ...options, threads, memory }, io.signal, log, told);
    } while (bell !== undefined && !io.signal.aborted && (await bell.next(io.signal)) !== 'end');
  } finally {
    bell?.close();
  }
  return ExitStatus.ok;
}

/** @returns what it logged, so that the next turn logs only what is new */
async function read(
  { root, cachePath, once, threads, memory }: ReaderCommandOptions & KeptBetweenLooks,
  signal: AbortSignal,
  log: Log,
  told: string,
): Promise<string> {
  const source = await openHost({ root, cachePath, threads });
  try {
    const report = await probeHost(rememberReplies(source, memory), {
      signal,
      patienceMs: once ? undefined : PATIENCE_MS,
    });
    const counts = countsOf(report);
    const summary = JSON.stringify([counts, report.findings]);
    if (summary === told) return told;
    log.info('The host was read.', counts);
    for (const { code, subject, message, remedy } of report.findings) {
      log.warn(message, { code, subject, remedy });
    }
    return summary;
  } catch (error) {
    if (!signal.aborted) log.error('The host could not be read.', { reason: messageOf(error) });
    return '';
  } finally {
    await source.close();
  }
}

function countsOf({ devices, smmus }: HostReport) {
  return {
    functions: devices.length,
    vfioDevices: devices.filter(({ vfio }) => vfio).length,
    smmus: smmus.length,
    smmusAnswered: smmus.filter(({ registers }) => registers.known).length,
  };
}
