import type { Writable } from 'node:stream';
import { createLogger, format, transports } from 'winston';
import type { Log } from './log.js';
import type { LogFormat, LogLevel } from './log-options.js';

export type { LogFormat, LogLevel } from './log-options.js';

export interface WinstonLogOptions {
  readonly level?: LogLevel | undefined;
  /** json: one object a line, for machines; text: for a person at a terminal. */
  readonly format?: LogFormat | undefined;
}

/** Structured lines on a stream. Only entry points import this file: winston costs 4.6 MB at start. */
export function winstonLog(stream: Writable, options: WinstonLogOptions = {}): Log {
  const line =
    options.format === 'text'
      ? format.printf(({ timestamp, level, message, ...fields }) =>
          [String(timestamp), level.padEnd(5), String(message), ...pairs(fields)].join(' '),
        )
      : format.json();
  const logger = createLogger({
    level: options.level ?? 'info',
    format: format.combine(format.timestamp(), line),
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston's own types give transports.Stream a constructor of its own
    transports: new transports.Stream({ stream }),
  });
  return {
    debug: (message, fields) => void logger.debug(message, fields),
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
  };
}

function pairs(fields: Record<string, unknown>): string[] {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
}
