import type { Readable, Writable } from 'node:stream';

/** What a command may touch of the process: handed in, so that tests run commands without one. */
export interface CliIo {
  readonly stdin: Readable;
  /** Data only. */
  readonly stdout: Writable;
  /** Everything meant for a person beside the data: errors, warnings, progress. */
  readonly stderr: Writable;
  readonly env: NodeJS.ProcessEnv;
  /** Colour wanted on stdout: a terminal, and neither NO_COLOR nor TERM=dumb. */
  readonly color: boolean;
  /** A person looks at stderr: a terminal that can take a line back. */
  readonly progress: boolean;
  /** Aborted on SIGINT or SIGTERM; long-running commands stop cleanly. */
  readonly signal: AbortSignal;
}
