import { Writable } from 'node:stream';

/** Swallows the log lines of the demo's own servers. */
export class NullStream extends Writable {
  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}
