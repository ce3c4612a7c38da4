import type { Socket } from 'node:net';
import { ErrorCode, type ErrorName, Flag, FRAME_MAX, frame, FrameType, uint32s } from './frame.js';
import { encodeHeaders, type Header } from './hpack.js';

/** Says a connection's frames. What is said in one turn of the event loop leaves in one system call. */
export class FrameWriter {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Octets that the peer has not taken. */
  get backlog(): number {
    return this.#socket.writableLength;
  }

  raw(bytes: Uint8Array): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      process.nextTick(() => this.#socket.uncork());
    }
    this.#socket.write(bytes);
  }

  headers(stream: number, headers: readonly Header[], end: boolean): void {
    const block = encodeHeaders(headers);
    for (let at = 0; at === 0 || at < block.length; at += FRAME_MAX) {
      const type = at === 0 ? FrameType.headers : FrameType.continuation;
      const last = at + FRAME_MAX >= block.length ? Flag.endHeaders : Flag.none;
      const flags = last | (at === 0 && end ? Flag.endStream : Flag.none);
      this.raw(frame(type, flags, stream, block.subarray(at, at + FRAME_MAX)));
    }
  }

  data(stream: number, data: Uint8Array, end: boolean): void {
    this.raw(frame(FrameType.data, end ? Flag.endStream : Flag.none, stream, data));
  }

  /** @param stream 0: the connection's window */
  openWindow(stream: number, octets: number): void {
    this.raw(frame(FrameType.windowUpdate, Flag.none, stream, uint32s(octets)));
  }

  reset(stream: number, code: ErrorName): void {
    this.raw(frame(FrameType.rstStream, Flag.none, stream, uint32s(ErrorCode[code])));
  }

  settings(payload: Uint8Array, flags: number = Flag.none): void {
    this.raw(frame(FrameType.settings, flags, 0, payload));
  }

  pong(payload: Uint8Array): void {
    this.raw(frame(FrameType.ping, Flag.ack, 0, payload));
  }

  goAway(lastStream: number, code: ErrorName, reason: string): void {
    const payload = Buffer.concat([uint32s(lastStream, ErrorCode[code]), Buffer.from(reason)]);
    this.raw(frame(FrameType.goaway, Flag.none, 0, payload));
  }

  /** Resolves when the socket takes more, at once where it does; or when it is closed. */
  async drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
    });
  }
}
