/** What a log line carries beside its message; values are flat so that every log system can index them. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** All that the long-running parts know of logging. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const nothing = () => undefined;

export const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** The same log with fields added to every line, such as the resource a plugin serves. */
export function withFields(log: Log, added: LogFields): Log {
  return {
    debug: (message, fields) => log.debug(message, { ...added, ...fields }),
    info: (message, fields) => log.info(message, { ...added, ...fields }),
    warn: (message, fields) => log.warn(message, { ...added, ...fields }),
    error: (message, fields) => log.error(message, { ...added, ...fields }),
  };
}
