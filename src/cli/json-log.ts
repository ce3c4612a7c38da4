import type { Writable } from 'node:stream';

/** Fields of a log line: short, bounded, no text of a VM's owner. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;
export type LogLine = (level: 'info' | 'warn' | 'error', message: string, fields?: LogFields) => void;

/**
 * One JSON object a line. A hook runs in every VM's pod with a fifth of a core: a logging library would be
 * most of its start.
 */
export function jsonLog(to: Writable, clock: () => Date = () => new Date()): LogLine {
  return (level, message, fields = {}) => {
    to.write(`${JSON.stringify({ time: clock().toISOString(), level, message, ...fields })}\n`);
  };
}
