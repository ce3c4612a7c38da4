import type { Socket } from 'node:net';
import { messageOf } from '../../errors.js';
import {
  errorName,
  type ErrorName,
  expectSize,
  Flag,
  FRAME_MAX,
  FrameReader,
  FrameType,
  Http2Error,
  lastStreamBegun,
  MASK_31,
  PREFACE,
  unpadded,
  windowIncrement,
  type Frame,
} from './frame.js';
import { FrameWriter } from './frame-writer.js';
import { FloodGuard } from './flood.js';
import { HeaderBlocks, type HeaderBlock } from './header-blocks.js';
import { type Header, HEADERS_MAX } from './hpack.js';
import { decodeSettings, encodeSettings, Setting } from './settings.js';
import { Http2Stream, type StreamWire } from './stream.js';
import { Streams } from './streams.js';
import { INITIAL_WINDOW, ReceiveWindow, SendWindow } from './window.js';

export interface ConnectionListener {
  /** Server only: a peer's new stream, with its first headers; the listener of the stream is set within the call. */
  onStream?(stream: Http2Stream, headers: readonly Header[]): void;
  /** The connection carries nothing any more. */
  onClose(code: ErrorName, reason: string): void;
}

/** What one stream may have under way towards us, and all together; octets. */
const STREAM_WINDOW = 1024 * 1024;
const CONNECTION_WINDOW = 4 * STREAM_WINDOW;
const STREAMS_MAX = 256;

/**
 * One HTTP/2 connection without TLS (RFC 9113), as far as gRPC needs it: no push, no priorities, no upgrade from
 * HTTP/1. node:http2 does the same with OpenSSL, HTTP/1 and its compatibility layer in tow, which is a fifth of the
 * resident memory of a process that does little else (docs/decisions/0007-own-grpc-transport.md). It also takes the
 * authorities that nghttp2 refuses, such as the bare socket path of older Go clients.
 */
export class Http2Connection {
  readonly #socket: Socket;
  readonly #role: 'client' | 'server';
  readonly #listener: ConnectionListener;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #blocks = new HeaderBlocks();
  readonly #flood = new FloodGuard();
  readonly #streams: Streams;
  readonly #wire: StreamWire;
  readonly #window = new SendWindow(INITIAL_WINDOW);
  readonly #receiveWindow = new ReceiveWindow(CONNECTION_WINDOW);
  #peerWindow = INITIAL_WINDOW;
  #goingAway = false;
  #closed = false;

  constructor(socket: Socket, role: 'client' | 'server', listener: ConnectionListener) {
    this.#socket = socket;
    this.#role = role;
    this.#listener = listener;
    this.#streams = new Streams(role);
    this.#reader = new FrameReader({ preface: role === 'server' });
    this.#writer = new FrameWriter(socket);
    this.#wire = this.#streamWire();
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#close('CONNECT_ERROR', messageOf(error)));
    socket.on('close', () => this.#close('CONNECT_ERROR', 'the connection was closed'));
    // A peer that says nothing more answers no call and opens no window.
    socket.on('end', () => {
      this.#close('CONNECT_ERROR', 'the peer closed the connection');
      socket.destroySoon();
    });
    this.#greet();
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** May a new stream be opened? */
  get usable(): boolean {
    return !this.#goingAway && !this.#closed;
  }

  /** Client only. */
  request(headers: readonly Header[]): Http2Stream {
    const stream = this.#newStream(this.#streams.nextId());
    stream.sendHeaders(headers);
    return stream;
  }

  /** Takes no new streams, and closes when the open ones are done. */
  goAway(): void {
    if (this.#closed || this.#goingAway) return;
    this.#goingAway = true;
    this.#writer.goAway(this.#streams.lastOfPeer, 'NO_ERROR', '');
    if (this.#streams.size === 0) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
    this.#close('CANCEL', 'the connection was closed');
  }

  #greet(): void {
    if (this.#role === 'client') this.#writer.raw(PREFACE);
    const settings = encodeSettings({
      ...(this.#role === 'client' ? { enablePush: 0 } : { maxConcurrentStreams: STREAMS_MAX }),
      initialWindowSize: STREAM_WINDOW,
      maxHeaderListSize: HEADERS_MAX,
    });
    this.#writer.settings(settings);
    this.#writer.openWindow(0, CONNECTION_WINDOW - INITIAL_WINDOW);
  }

  #streamWire(): StreamWire {
    return {
      answers: this.#role === 'server',
      window: this.#window,
      writer: this.#writer,
      forget: ({ id }) => {
        this.#streams.forget(id);
        if (this.#goingAway && this.#streams.size === 0) this.#socket.end();
      },
    };
  }

  #newStream(id: number): Http2Stream {
    const stream = new Http2Stream(id, this.#wire, { send: this.#peerWindow, receive: STREAM_WINDOW });
    this.#streams.add(stream);
    return stream;
  }

  #receive(chunk: Buffer): void {
    try {
      for (const one of this.#reader.push(chunk)) {
        if (this.#closed) return;
        this.#frame(one);
      }
    } catch (error) {
      this.#fail(error instanceof Http2Error ? error : new Http2Error('INTERNAL_ERROR', messageOf(error)));
    }
  }

  #fail({ code, message }: Http2Error): void {
    this.#writer.goAway(this.#streams.lastOfPeer, code, message);
    this.#socket.destroySoon();
    this.#close(code, message);
  }

  #close(code: ErrorName, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stream of this.#streams.all()) stream.cut(code, reason);
    this.#listener.onClose(code, reason);
  }

  #frame(one: Frame): void {
    const { type, stream, payload } = one;
    const { open } = this.#blocks;
    if (open !== undefined && (type !== FrameType.continuation || stream !== open))
      throw new Http2Error('PROTOCOL_ERROR', 'a header block is not ended');
    switch (type) {
      case FrameType.data:
        this.#onData(one);
        break;
      case FrameType.headers:
        this.#onBlock(this.#blocks.begin(one));
        break;
      case FrameType.continuation:
        this.#countIdle();
        this.#onBlock(this.#blocks.continue(one));
        break;
      case FrameType.rstStream:
        this.#countIdle();
        expectSize(payload, 4);
        this.#streams.known(stream)?.cut(errorName(payload.readUInt32BE(0)), 'the peer cut the stream');
        break;
      case FrameType.settings:
        this.#onSettings(one);
        break;
      case FrameType.ping:
        this.#onPing(one);
        break;
      case FrameType.goaway:
        this.#onGoAway(one);
        break;
      case FrameType.windowUpdate:
        this.#onWindowUpdate(one);
        break;
      case FrameType.pushPromise:
        throw new Http2Error('PROTOCOL_ERROR', 'a push, which nobody asked for');
      default:
        // PRIORITY is deprecated, and a type that is not known is to be ignored.
        this.#countIdle();
    }
  }

  #onData(one: Frame): void {
    const { length } = one.payload;
    const data = unpadded(one);
    const end = (one.flags & Flag.endStream) !== 0;
    if (data.length === 0 && !end) this.#countIdle();
    this.#receiveWindow.receive(length);
    const opened = this.#receiveWindow.consume(length);
    if (opened > 0) this.#writer.openWindow(0, opened);
    const stream = this.#streams.known(one.stream);
    if (stream === undefined) return;
    stream.receiveWindow.receive(length);
    stream.consume(length - data.length);
    if (!stream.receive(end, (listener) => listener.onData(data)))
      stream.reset('STREAM_CLOSED', 'data behind the end');
  }

  #onBlock(block: HeaderBlock | undefined): void {
    if (block === undefined) return;
    const { stream: id, end, headers } = block;
    if (this.#streams.begins(id)) {
      this.#accept(id, headers, end);
      return;
    }
    const stream = this.#streams.known(id);
    if (stream !== undefined && !stream.receive(end, (listener) => listener.onHeaders(headers)))
      stream.reset('STREAM_CLOSED', 'headers behind the end');
  }

  #accept(id: number, headers: readonly Header[], end: boolean): void {
    const stream = this.#newStream(id);
    if (this.#goingAway || this.#streams.size > STREAMS_MAX) {
      stream.reset('REFUSED_STREAM', 'no more streams are taken');
      return;
    }
    this.#listener.onStream?.(stream, headers);
    stream.receive(end, () => undefined);
  }

  #onSettings({ flags, stream, payload }: Frame): void {
    this.#countIdle();
    if (stream !== 0) throw new Http2Error('PROTOCOL_ERROR', 'settings of a stream');
    if ((flags & Flag.ack) !== 0) {
      expectSize(payload, 0);
      return;
    }
    for (const [setting, value] of decodeSettings(payload)) this.#set(setting, value);
    this.#writer.settings(Buffer.alloc(0), Flag.ack);
  }

  /** Of what a peer may set, only the size of its streams' windows matters to this side. */
  #set(setting: number, value: number): void {
    if (setting === Setting.maxFrameSize && (value < FRAME_MAX || value > 2 ** 24 - 1))
      throw new Http2Error('PROTOCOL_ERROR', `a largest frame of ${value}`);
    if (setting !== Setting.initialWindowSize) return;
    if (value > MASK_31) throw new Http2Error('FLOW_CONTROL_ERROR', `an initial window of ${value}`);
    const change = value - this.#peerWindow;
    this.#peerWindow = value;
    for (const stream of this.#streams.all()) {
      stream.sendWindow.open(change);
      stream.pump();
    }
  }

  #onPing({ flags, stream, payload }: Frame): void {
    this.#countIdle();
    if (stream !== 0) throw new Http2Error('PROTOCOL_ERROR', 'a ping of a stream');
    expectSize(payload, 8);
    if ((flags & Flag.ack) === 0) this.#writer.pong(payload);
  }

  /** Streams that the peer has not begun with are not answered any more; the others are. */
  #onGoAway(one: Frame): void {
    const last = lastStreamBegun(one);
    this.#goingAway = true;
    if (this.#role === 'server') return;
    for (const open of this.#streams.all())
      if (open.id > last) open.cut('REFUSED_STREAM', 'the peer is going away');
    if (this.#streams.size === 0) this.#socket.end();
  }

  #onWindowUpdate(one: Frame): void {
    const octets = windowIncrement(one);
    if (one.stream === 0) {
      this.#window.open(octets);
      for (const stream of this.#streams.all()) stream.pump();
    } else {
      const found = this.#streams.known(one.stream);
      found?.sendWindow.open(octets);
      found?.pump();
    }
  }

  #countIdle(): void {
    this.#flood.count(this.#writer.backlog);
  }
}
