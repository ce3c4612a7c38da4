import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type Message,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { RpcError, STATUS, toRpcError } from './status.js';
import type { CallContext, ServedService, StreamHandler, UnaryHandler } from './service.js';

/** Told of every handler failure that is not the peer's own doing; the call itself already has its status. */
export type FailureListener = (path: string, error: unknown) => void;

type Untyped = DescMessage;
type AnyCall = ServerUnaryCall<Message, Buffer> | ServerWritableStream<Message, Buffer>;

/** Lets a closing server end its streams and, after the grace period, its unary calls. */
export interface OpenCalls {
  readonly streams: Set<AbortController>;
  readonly unary: Set<AbortController>;
}

/**
 * grpc-js's view of a service. Responses are encoded here and not by grpc-js, so that a handler's malformed
 * answer is an INTERNAL status like any other failure: an async handler that rejects inside grpc-js 1.14 ends
 * the process.
 */
export function grpcService(
  { description, handlers }: ServedService,
  open: OpenCalls,
  onFailure: FailureListener,
): { definition: ServiceDefinition; implementation: UntypedServiceImplementation } {
  const definition: Record<string, MethodDefinition<unknown, Buffer>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of description.methods) {
    const handler = handlers[method.localName];
    if (handler === undefined) continue;
    const path = `/${description.typeName}/${method.name}`;
    definition[method.localName] = methodDefinition(method, path);
    implementation[method.localName] =
      method.methodKind === 'unary'
        ? unaryCall(method.output, handler as UnaryHandler<Untyped, Untyped>, path, open.unary, onFailure)
        : streamCall(
            method.output,
            handler as StreamHandler<Untyped, Untyped>,
            path,
            open.streams,
            onFailure,
          );
  }
  return { definition, implementation };
}

function methodDefinition(method: DescMethod, path: string): MethodDefinition<unknown, Buffer> {
  return {
    path,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: () => {
      throw new Error(`${path}: a server encodes no requests`);
    },
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
}

function encode(schema: DescMessage, message: MessageInitShape<DescMessage>): Buffer {
  const bytes = toBinary(schema, create(schema, message));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function contextOf(call: AnyCall, path: string, aborts: AbortController): CallContext {
  call.on('cancelled', () => {
    aborts.abort(new RpcError('CANCELLED', 'the peer ended the call'));
  });
  const deadline = new Date(call.getDeadline());
  return { signal: aborts.signal, deadline: isNaN(deadline.getTime()) ? undefined : deadline, path };
}

function statusOf(thrown: unknown): { code: number; details: string } {
  const { status, details } = toRpcError(thrown);
  return { code: STATUS[status], details };
}

function unaryCall(
  output: DescMessage,
  handler: UnaryHandler<Untyped, Untyped>,
  path: string,
  open: Set<AbortController>,
  onFailure: FailureListener,
): handleUnaryCall<Message, Buffer> {
  return (call, callback) => {
    const aborts = new AbortController();
    open.add(aborts);
    const answer = async () =>
      encode(output, await abortable(handler(call.request, contextOf(call, path, aborts)), aborts.signal));
    answer()
      .then(
        (bytes) => callback(null, bytes),
        (error: unknown) => {
          if (!aborts.signal.aborted) onFailure(path, error);
          callback(statusOf(error));
        },
      )
      .catch((error: unknown) => onFailure(path, error))
      .finally(() => open.delete(aborts));
  };
}

function streamCall(
  output: DescMessage,
  handler: StreamHandler<Untyped, Untyped>,
  path: string,
  open: Set<AbortController>,
  onFailure: FailureListener,
): handleServerStreamingCall<Message, Buffer> {
  return (call) => {
    const aborts = new AbortController();
    open.add(aborts);
    const context = contextOf(call, path, aborts);
    const pump = async () => {
      for await (const message of untilAborted(handler(call.request, context), aborts.signal)) {
        if (!call.write(encode(output, message))) await drained(call, aborts.signal);
      }
    };
    pump()
      .then(
        () => call.end(),
        (error: unknown) => {
          if (aborts.signal.aborted) {
            call.end();
            return;
          }
          onFailure(path, error);
          call.emit('error', statusOf(error));
        },
      )
      .catch((error: unknown) => onFailure(path, error))
      .finally(() => open.delete(aborts));
  };
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

async function drained(call: ServerWritableStream<Message, Buffer>, signal: AbortSignal): Promise<void> {
  let resume = () => {};
  const drain = new Promise<void>((resolve) => {
    resume = resolve;
    call.once('drain', resume);
  });
  try {
    await abortable(drain, signal);
  } finally {
    call.off('drain', resume);
  }
}
