import { PassThrough, Readable } from 'node:stream';

import type { CliIo } from '../src/cli/io.js';

export interface CapturedIo extends CliIo {
  /** All that was written so far. */
  readonly out: () => string;
  readonly err: () => string;
}

/** A CliIo for tests: what the command wrote can be read back; standard input holds `stdin`. */
export function capturedIo(
  stdin = '',
  overrides: Partial<Pick<CliIo, 'color' | 'signal' | 'env'>> = {},
): CapturedIo {
  const captured = (stream: PassThrough) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString('utf8');
  };
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  return {
    stdin: Readable.from([Buffer.from(stdin)]),
    stdout,
    stderr,
    env: {},
    color: false,
    progress: false,
    signal: new AbortController().signal,
    ...overrides,
    out: captured(stdout),
    err: captured(stderr),
  };
}
