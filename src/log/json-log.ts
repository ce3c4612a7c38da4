import type { Writable } from 'node:stream';
import type { Log, LogFields } from './log.js';
import { LOG_LEVELS, type LogFormat, type LogLevel } from './log-options.js';

/**
 * The log of a program that must be small and start at once: one JSON object a line, the same as winston's. A hook runs
 * in every VM's pod with a fifth of a core, an agent on every node; winston would be 5 to 7 MiB of each.
 */
export function jsonLog(stream: Writable, level: LogLevel = 'info'): Log {
  const logged = LOG_LEVELS.slice(0, LOG_LEVELS.indexOf(level) + 1);
  const line = (own: LogLevel) =>
    logged.includes(own)
      ? (message: string, fields: LogFields = {}) => {
          const written = { level: own, message, ...fields, timestamp: new Date().toISOString() };
          stream.write(`${JSON.stringify(written)}\n`);
        }
      : () => undefined;
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
}

/** JSON lines without winston, text for a person with it: whoever reads along can spare the memory. */
export async function leanLog(stream: Writable, { level, format }: LogOptions): Promise<Log> {
  if (format === 'json') return jsonLog(stream, level);
  const { winstonLog } = await import('./winston-log.js');
  return winstonLog(stream, { level, format });
}
