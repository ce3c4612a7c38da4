import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { Client, credentials, Metadata, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import { resolve as absolute } from 'node:path';
import { messageOf } from '../errors.js';
import { RpcError, statusName } from './status.js';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** The methods of a service as a caller sees them; failures are thrown as RpcError. */
export type ServiceMethods<S extends DescService> = {
  readonly [K in keyof S['method']]: S['method'][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : S['method'][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : never;
};

export interface UnixClient<S extends DescService> {
  readonly call: ServiceMethods<S>;
  close(): void;
}

/**
 * A client of one service on a unix socket. It dials at the first call; a missing socket is UNAVAILABLE at once.
 * Each client has its own connection: grpc-js otherwise shares one per path in the whole process, together with
 * its back-off, and a fresh attempt after the socket came back would fail without dialling.
 */
export function unixClient<S extends DescService>(description: S, path: string): UnixClient<S> {
  const client = new Client(`unix:${absolute(path)}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_channelz': 0,
  });
  const call: Record<string, unknown> = {};
  for (const method of description.methods) {
    call[method.localName] = method.methodKind === 'unary' ? unary(client, method) : stream(client, method);
  }
  // Each method was made by its kind, which is what ServiceMethods says of it.
  return { call: call as ServiceMethods<S>, close: () => client.close() };
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder(schema: DescMessage): (message: MessageInitShape<DescMessage>) => Buffer {
  return (message) => Buffer.from(toBinary(schema, create(schema, message)));
}

function deadlineOf(options: CallOptions): { deadline?: Date } {
  return options.timeoutMs === undefined ? {} : { deadline: new Date(Date.now() + options.timeoutMs) };
}

function unary(client: Client, method: DescMethod) {
  const decode = (bytes: Buffer) => fromBinary(method.output, bytes);
  return (request: MessageInitShape<DescMessage>, options: CallOptions = {}) =>
    new Promise<object>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        pathOf(method),
        encoder(method.input),
        decode,
        request,
        new Metadata(),
        deadlineOf(options),
        (error, response) => {
          options.signal?.removeEventListener('abort', cancel);
          if (error !== null) reject(fromServiceError(error));
          else if (response === undefined) reject(new RpcError('INTERNAL', 'the peer sent no message'));
          else resolve(response);
        },
      );
      const cancel = () => call.cancel();
      if (options.signal?.aborted === true) cancel();
      else options.signal?.addEventListener('abort', cancel, { once: true });
    });
}

function stream(client: Client, method: DescMethod) {
  const decode = (bytes: Buffer) => fromBinary(method.output, bytes);
  return (request: MessageInitShape<DescMessage>, options: CallOptions = {}): AsyncIterable<object> => {
    const call = client.makeServerStreamRequest(
      pathOf(method),
      encoder(method.input),
      decode,
      request,
      new Metadata(),
      deadlineOf(options),
    );
    return messages(call, options.signal);
  };
}

async function* messages(
  call: ClientReadableStream<object>,
  signal: AbortSignal | undefined,
): AsyncIterable<object> {
  const cancel = () => call.cancel();
  if (signal?.aborted === true) cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const received: AsyncIterable<object> = call;
    yield* received;
  } catch (error) {
    throw fromServiceError(error);
  } finally {
    signal?.removeEventListener('abort', cancel);
    call.cancel();
  }
}

function fromServiceError(error: unknown): RpcError {
  return isServiceError(error)
    ? new RpcError(statusName(error.code), error.details, error)
    : new RpcError('UNKNOWN', messageOf(error), error);
}

function isServiceError(error: unknown): error is ServiceError {
  return typeof error === 'object' && error !== null && 'details' in error && 'code' in error;
}
