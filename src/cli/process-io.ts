import { ExitStatus, VsmmuError } from '../errors.js';
import type { CliIo } from './io.js';
import { renderError } from './render-error.js';

/**
 * Only a command that takes the signal handles SIGINT and SIGTERM; all others keep Node's default and end at once.
 */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  return stop.signal;
}

/** The process itself. */
export function processIo(): CliIo {
  const { stdout, stderr, env } = process;
  // A reader that goes away early (`vsmmu probe | head`) is not our failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    stderr.write(
      renderError(
        new VsmmuError('UNWRITABLE_FILE', error.message, {
          place: 'standard output',
          remedy: 'Make room, or write to another place.',
        }),
      ),
    );
    process.exit(ExitStatus.failed);
  });
  const color = stdout.isTTY && env['NO_COLOR'] === undefined && env['TERM'] !== 'dumb';
  let signal: AbortSignal | undefined;
  return {
    // Opened only by what reads it: Node loads its file streams for it, 3 ms.
    get stdin() {
      return process.stdin;
    },
    stdout,
    stderr,
    env,
    color,
    progress: stderr.isTTY && env['TERM'] !== 'dumb',
    get signal() {
      return (signal ??= stopSignal());
    },
  };
}
