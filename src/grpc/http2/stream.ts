import { type ErrorName, FRAME_MAX } from './frame.js';
import type { FrameWriter } from './frame-writer.js';
import type { Header } from './hpack.js';
import { ReceiveWindow, SendWindow } from './window.js';

/** What happens on a stream, to the one who owns it. */
export interface StreamListener {
  onHeaders(headers: readonly Header[]): void;
  /** Says how much of it is taken with {@link Http2Stream.consume}; else the peer stops when the window is full. */
  onData(data: Buffer): void;
  /** The peer has said all. */
  onEnd(): void;
  /** The stream was cut: by the peer, with the connection, or by this side's reset. Nothing follows. */
  onCut(code: ErrorName, reason: string): void;
}

/** What a stream needs of its connection. */
export interface StreamWire {
  /** On a server's side an answer may be whole before the request is: what is left of that is not wanted then. */
  readonly answers: boolean;
  /** Octets of DATA that the connection takes. */
  readonly window: SendWindow;
  readonly writer: FrameWriter;
  forget(stream: Http2Stream): void;
}

interface Outgoing {
  data: Uint8Array;
  readonly sent: () => void;
}

/** One stream of a connection (RFC 9113, section 5.1), from either side. */
export class Http2Stream {
  readonly id: number;
  readonly sendWindow: SendWindow;
  readonly receiveWindow: ReceiveWindow;
  readonly #wire: StreamWire;
  readonly #queue: Outgoing[] = [];
  #listener: StreamListener | undefined;
  #trailers: readonly Header[] | undefined;
  #ending = false;
  #localEnded = false;
  #remoteEnded = false;
  #closed = false;

  constructor(id: number, wire: StreamWire, windows: { readonly send: number; readonly receive: number }) {
    this.id = id;
    this.#wire = wire;
    this.sendWindow = new SendWindow(windows.send);
    this.receiveWindow = new ReceiveWindow(windows.receive);
  }

  get closed(): boolean {
    return this.#closed;
  }

  listen(listener: StreamListener): void {
    this.#listener = listener;
  }

  sendHeaders(headers: readonly Header[], end = false): void {
    if (this.#closed || this.#localEnded) return;
    this.#wire.writer.headers(this.id, headers, end);
    if (end) this.#endLocal();
  }

  /** Resolves when the data has left for a socket that takes more, or the stream is closed. */
  async send(data: Uint8Array): Promise<void> {
    if (this.#closed || this.#ending) return;
    await new Promise<void>((sent) => {
      this.#queue.push({ data, sent });
      this.pump();
    });
    await this.#wire.writer.drained();
  }

  /** After everything that was given to send: with trailers, or without. */
  end(trailers?: readonly Header[]): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.#trailers = trailers;
    this.pump();
  }

  /** Tells the peer, and the listener, that nothing more is wanted. */
  reset(code: ErrorName, reason: string): void {
    if (this.#closed) return;
    this.#wire.writer.reset(this.id, code);
    this.cut(code, reason);
  }

  /** So much of the data was taken that the peer may send as much again. */
  consume(octets: number): void {
    const opened = this.#closed || this.#remoteEnded ? 0 : this.receiveWindow.consume(octets);
    if (opened > 0) this.#wire.writer.openWindow(this.id, opened);
  }

  /** Sends what the windows allow. */
  pump(): void {
    while (!this.#closed) {
      const [next] = this.#queue;
      if (next === undefined) break;
      const octets = Math.min(next.data.length, FRAME_MAX, this.sendWindow.left, this.#wire.window.left);
      if (octets <= 0 && next.data.length > 0) return;
      this.sendWindow.take(octets);
      this.#wire.window.take(octets);
      const last = octets === next.data.length;
      const end = last && this.#queue.length === 1 && this.#ending && this.#trailers === undefined;
      this.#wire.writer.data(this.id, next.data.subarray(0, octets), end);
      next.data = next.data.subarray(octets);
      if (last) this.#queue.shift()?.sent();
      if (end) this.#endLocal();
    }
    if (this.#closed || this.#localEnded || !this.#ending) return;
    if (this.#trailers === undefined) this.#wire.writer.data(this.id, new Uint8Array(), true);
    else this.#wire.writer.headers(this.id, this.#trailers, true);
    this.#endLocal();
  }

  /** @returns false: nothing may follow what the peer has ended */
  receive(end: boolean, tell: (listener: StreamListener) => void): boolean {
    if (this.#closed) return true;
    if (this.#remoteEnded) return false;
    this.#remoteEnded = end;
    if (this.#listener !== undefined) {
      tell(this.#listener);
      if (end) this.#listener.onEnd();
    }
    this.#closeIfDone();
    return true;
  }

  /** Ends it here without a word to the peer. */
  cut(code: ErrorName, reason: string): void {
    if (this.#closed) return;
    this.#close();
    this.#listener?.onCut(code, reason);
  }

  #endLocal(): void {
    this.#localEnded = true;
    if (this.#wire.answers && !this.#remoteEnded) {
      this.#wire.writer.reset(this.id, 'NO_ERROR');
      this.#close();
    }
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#localEnded && this.#remoteEnded && !this.#closed) this.#close();
  }

  #close(): void {
    this.#closed = true;
    this.#wire.forget(this);
    for (const { sent } of this.#queue.splice(0)) sent();
  }
}
