import type { Header } from './http2/hpack.js';
import type { Http2Stream } from './http2/stream.js';
import { decode, encode } from './message.js';
import type { CallContext, ServedMethod } from './service.js';
import { RpcError, toRpcError } from './status.js';
import {
  CONTENT_TYPE,
  frameMessage,
  headerOf,
  isGrpc,
  MessageReader,
  timeoutOf,
  trailersOf,
} from './wire.js';

/** Told of every handler failure that is not the peer's own doing; the call itself already has its status. */
export type FailureListener = (path: string, error: unknown) => void;

/** Lets a closing server end its streams and, after the grace period, its unary calls. */
export interface OpenCalls {
  readonly streams: Set<AbortController>;
  readonly unary: Set<AbortController>;
}

export interface Served {
  /** By path. */
  readonly methods: ReadonlyMap<string, ServedMethod>;
  readonly open: OpenCalls;
  readonly onFailure: FailureListener;
}

const OK: readonly Header[] = [[':status', '200'], CONTENT_TYPE];

/** Answers one call: its request, its handler, its status. Whatever goes wrong, the peer gets a status and the server lives on. */
export function answerCall(stream: Http2Stream, headers: readonly Header[], served: Served): void {
  const call = new ServerCall(stream, headerOf(headers, ':path') ?? '', served);
  if (headerOf(headers, ':method') !== 'POST' || !isGrpc(headers)) {
    stream.sendHeaders([[':status', headerOf(headers, ':method') === 'POST' ? '415' : '405']], true);
    return;
  }
  try {
    call.begin(timeoutOf(headers));
  } catch (error) {
    call.finish(error);
  }
}

class ServerCall {
  readonly #stream: Http2Stream;
  readonly #path: string;
  readonly #served: Served;
  readonly #aborts = new AbortController();
  readonly #reader = new MessageReader();
  #request: Buffer | undefined;
  #answered = false;
  #over = () => {};

  constructor(stream: Http2Stream, path: string, served: Served) {
    this.#stream = stream;
    this.#path = path;
    this.#served = served;
  }

  begin(timeoutMs: number | undefined): void {
    const found = this.#served.methods.get(this.#path);
    if (found === undefined)
      throw new RpcError('UNIMPLEMENTED', `there is no method ${this.#path.slice(0, 200)}`);
    const deadline = timeoutMs === undefined ? undefined : new Date(Date.now() + timeoutMs);
    this.#open(found.method.kind === 'unary' ? 'unary' : 'streams', timeoutMs);
    this.#stream.listen({
      onHeaders: () => undefined,
      onData: (data) => this.#receive(data),
      onEnd: () => void this.#run(found, deadline),
      onCut: () => {
        this.#over();
        this.#aborts.abort(new RpcError('CANCELLED', 'the peer ended the call'));
      },
    });
  }

  /** @param error undefined: all went well */
  finish(error: unknown): void {
    this.#over();
    const trailers = trailersOf(error === undefined ? undefined : toRpcError(error));
    if (this.#answered) this.#stream.end(trailers);
    else this.#stream.sendHeaders([...OK, ...trailers], true);
  }

  #open(kind: keyof OpenCalls, timeoutMs: number | undefined): void {
    const open = this.#served.open[kind];
    open.add(this.#aborts);
    const expire = () =>
      this.#aborts.abort(new RpcError('DEADLINE_EXCEEDED', 'the deadline of the call passed'));
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs);
    this.#over = () => {
      clearTimeout(timer);
      open.delete(this.#aborts);
    };
  }

  #receive(data: Buffer): void {
    this.#stream.consume(data.length);
    try {
      for (const message of this.#reader.push(data)) {
        if (this.#request !== undefined) throw new RpcError('INTERNAL', 'more than one request in a call');
        this.#request = message;
      }
    } catch (error) {
      this.finish(error);
    }
  }

  async #run({ method, handler }: ServedMethod, deadline: Date | undefined): Promise<void> {
    const { signal } = this.#aborts;
    const context: CallContext = { signal, deadline, path: this.#path };
    let request: unknown;
    try {
      request = this.#decoded(method);
    } catch (error) {
      this.finish(error);
      return;
    }
    try {
      if (method.kind === 'unary') {
        const answer = await abortable((handler as UnaryOf)(request, context), signal);
        await this.#send(encode(method.output, answer as object));
      } else {
        const answers = untilAborted((handler as StreamOf)(request, context), signal);
        for await (const answer of answers)
          await abortable(this.#send(encode(method.output, answer as object)), signal);
      }
      this.finish(undefined);
    } catch (error) {
      if (!signal.aborted) this.#served.onFailure(this.#path, error);
      // A stream that a closing server ends has said all it had to say.
      this.finish(signal.aborted && method.kind === 'stream' && !isExpired(signal) ? undefined : error);
    }
  }

  /** What is wrong with the request is the peer's fault, not the handler's. */
  #decoded({ input }: ServedMethod['method']): unknown {
    if (this.#request === undefined || this.#reader.cutShort)
      throw new RpcError('INTERNAL', 'the call ended before its request was whole');
    try {
      return decode(input, this.#request);
    } catch (error) {
      throw new RpcError('INVALID_ARGUMENT', 'the request is malformed', error);
    }
  }

  #send(message: Uint8Array): Promise<void> {
    if (!this.#answered) this.#stream.sendHeaders(OK);
    this.#answered = true;
    return this.#stream.send(frameMessage(message));
  }
}

type UnaryOf = (request: unknown, call: CallContext) => unknown;
type StreamOf = (request: unknown, call: CallContext) => AsyncIterable<unknown>;

function isExpired({ reason }: AbortSignal): boolean {
  return reason instanceof RpcError && reason.status === 'DEADLINE_EXCEEDED';
}

/** Rejects with the signal's reason as soon as it aborts, whatever the work does. */
async function abortable<T>(work: T | Promise<T>, signal: AbortSignal): Promise<T> {
  if (!(work instanceof Promise)) return work;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(reasonOf(signal));
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new RpcError('CANCELLED', 'the call was aborted');
}

/** Iterates until the source ends or the signal aborts; a source that still waits for something then is told to stop, not awaited. */
async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await abortable(iterator.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    void iterator.return?.().catch(() => undefined);
  }
}
