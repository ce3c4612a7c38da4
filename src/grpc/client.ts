import { createConnection } from 'node:net';
import { resolve as absolute } from 'node:path';
import { Http2Connection } from './http2/connection.js';
import type { ErrorName } from './http2/frame.js';
import type { Header } from './http2/hpack.js';
import type { Http2Stream } from './http2/stream.js';
import { decode, encode, type Init, type MessageType } from './message.js';
import { pathOf, type Method, type ServiceType, type StreamMethod, type UnaryMethod } from './service.js';
import { RpcError, toRpcError, type StatusName } from './status.js';
import {
  CONTENT_TYPE,
  frameMessage,
  headerOf,
  isGrpc,
  MessageReader,
  statusOf,
  timeoutHeader,
} from './wire.js';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** The methods of a service as a caller sees them; failures are thrown as RpcError. */
export type ServiceMethods<S extends ServiceType> = {
  readonly [K in keyof S['methods']]: S['methods'][K] extends UnaryMethod<infer I, infer O>
    ? (request: Init<I>, options?: CallOptions) => Promise<O>
    : S['methods'][K] extends StreamMethod<infer I, infer O>
      ? (request: Init<I>, options?: CallOptions) => AsyncIterable<O>
      : never;
};

export interface UnixClient<S extends ServiceType> {
  readonly call: ServiceMethods<S>;
  /** Ends what still runs with CANCELLED. */
  close(): void;
}

/**
 * A client of one service on a unix socket. It dials at the first call, and again at the next one after the
 * connection was lost; a missing socket is UNAVAILABLE at once.
 */
export function unixClient<S extends ServiceType>(description: S, path: string): UnixClient<S> {
  const channel = new Channel(absolute(path));
  const methods = Object.entries(description.methods).map(([name, method]) => [
    name,
    caller(channel, pathOf(description, method), method),
  ]);
  // Each method was made by its kind, which is what ServiceMethods says of it.
  return { call: Object.fromEntries(methods) as ServiceMethods<S>, close: () => channel.close() };
}

function caller(channel: Channel, path: string, method: Method) {
  const begin = (request: object, options: CallOptions) =>
    new ClientCall(channel, path, frameMessage(encode(method.input, request)), options);
  if (method.kind === 'stream')
    return (request: object, options: CallOptions = {}) => messages(begin(request, options), method.output);
  return async (request: object, options: CallOptions = {}) => {
    const call = begin(request, options);
    const answer = await call.next();
    if (answer === undefined) throw new RpcError('INTERNAL', 'the peer sent no message');
    if ((await call.next()) !== undefined)
      throw new RpcError('INTERNAL', 'the peer sent more than one message');
    return decodeAnswer(method.output, answer);
  };
}

async function* messages(call: ClientCall, output: MessageType<unknown>): AsyncIterable<unknown> {
  try {
    for (let answer = await call.next(); answer !== undefined; answer = await call.next())
      yield decodeAnswer(output, answer);
  } finally {
    call.cancel();
  }
}

function decodeAnswer(output: MessageType<unknown>, bytes: Buffer): unknown {
  try {
    return decode(output, bytes);
  } catch (error) {
    throw new RpcError('INTERNAL', 'the answer is malformed', error);
  }
}

/** The connection to one socket, made when it is needed. */
class Channel {
  readonly #path: string;
  #connection: Http2Connection | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  request(headers: readonly Header[]): Http2Stream {
    if (this.#connection?.usable !== true) {
      const connection: Http2Connection = new Http2Connection(createConnection(this.#path), 'client', {
        onClose: () => {
          if (this.#connection === connection) this.#connection = undefined;
        },
      });
      this.#connection = connection;
    }
    return this.#connection.request(headers);
  }

  close(): void {
    this.#connection?.destroy();
  }
}

/** One call: a request, and its answers as they are asked for. */
class ClientCall {
  readonly #stream: Http2Stream;
  readonly #reader = new MessageReader();
  readonly #answers: Buffer[] = [];
  #owed = 0;
  #headers: readonly Header[] | undefined;
  /** How it ended; "open" while it has not, undefined for OK. */
  #status: RpcError | undefined | 'open' = 'open';
  #wake = () => {};
  #release = () => {};

  constructor(channel: Channel, path: string, request: Buffer, { signal, timeoutMs }: CallOptions) {
    this.#stream = channel.request([
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', path],
      [':authority', 'localhost'],
      CONTENT_TYPE,
      ['te', 'trailers'],
      ...(timeoutMs === undefined ? [] : [timeoutHeader(timeoutMs)]),
    ]);
    this.#stream.listen({
      onHeaders: (headers) => this.#onHeaders(headers),
      onData: (data) => this.#onData(data),
      onEnd: () => this.#onEnd(),
      onCut: (code, reason) => this.#end(new RpcError(CUT[code] ?? 'INTERNAL', reason)),
    });
    this.#limit(signal, timeoutMs);
    void this.#stream.send(request);
    this.#stream.end();
  }

  /** @returns the next answer, undefined when there are no more @throws RpcError */
  async next(): Promise<Buffer | undefined> {
    while (this.#answers.length === 0 && this.#status === 'open')
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const answer = this.#answers.shift();
    if (this.#answers.length === 0) this.#consume();
    if (answer !== undefined) return answer;
    if (this.#status instanceof RpcError) throw this.#status;
    return undefined;
  }

  cancel(): void {
    this.#end(new RpcError('CANCELLED', 'the call was cancelled'));
  }

  #limit(signal: AbortSignal | undefined, timeoutMs: number | undefined): void {
    const cancel = () => this.cancel();
    const expire = () => this.#end(new RpcError('DEADLINE_EXCEEDED', `no answer within ${timeoutMs} ms`));
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs);
    this.#release = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    };
    if (signal?.aborted === true) cancel();
    else signal?.addEventListener('abort', cancel, { once: true });
  }

  #onHeaders(headers: readonly Header[]): void {
    if (this.#headers === undefined) {
      const status = headerOf(headers, ':status') ?? '';
      if (status !== '200') this.#end(new RpcError(HTTP[status] ?? 'UNKNOWN', `HTTP status ${status}`));
      else if (!isGrpc(headers)) this.#end(new RpcError('UNKNOWN', 'the peer does not speak gRPC'));
    }
    // The last block has the status; where there is but one, it is both.
    this.#headers = headers;
  }

  #onData(data: Buffer): void {
    this.#owed += data.length;
    try {
      this.#answers.push(...this.#reader.push(data));
    } catch (error) {
      this.#end(toRpcError(error));
    }
    // The window stays closed while answers wait: a slow reader slows the sender.
    if (this.#answers.length === 0) this.#consume();
    this.#wake();
  }

  #consume(): void {
    this.#stream.consume(this.#owed);
    this.#owed = 0;
  }

  #onEnd(): void {
    const status = statusOf(this.#headers ?? []);
    const short = status === undefined && this.#reader.cutShort;
    this.#end(short ? new RpcError('INTERNAL', 'the answer ended within a message') : status);
  }

  #end(status: RpcError | undefined): void {
    if (this.#status !== 'open') return;
    this.#status = status;
    this.#release();
    this.#stream.reset('CANCEL', 'the call is over');
    this.#wake();
  }
}

/** grpc/doc/PROTOCOL-HTTP2.md, "Errors"; what is not named is INTERNAL. */
const CUT: Partial<Record<ErrorName, StatusName>> = {
  REFUSED_STREAM: 'UNAVAILABLE',
  CONNECT_ERROR: 'UNAVAILABLE',
  CANCEL: 'CANCELLED',
  ENHANCE_YOUR_CALM: 'RESOURCE_EXHAUSTED',
  INADEQUATE_SECURITY: 'PERMISSION_DENIED',
};

/** grpc/doc/http-grpc-status-mapping.md */
const HTTP: Readonly<Record<string, StatusName>> = {
  '400': 'INTERNAL',
  '401': 'UNAUTHENTICATED',
  '403': 'PERMISSION_DENIED',
  '404': 'UNIMPLEMENTED',
  '429': 'UNAVAILABLE',
  '502': 'UNAVAILABLE',
  '503': 'UNAVAILABLE',
  '504': 'UNAVAILABLE',
};
