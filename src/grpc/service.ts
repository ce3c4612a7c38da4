import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';

/** What a handler knows of the call it answers. */
export interface CallContext {
  /** Aborted when the peer gives up, its deadline passes, or the server closes. */
  readonly signal: AbortSignal;
  /** undefined: the peer set none. */
  readonly deadline: Date | undefined;
  /** "/v1beta1.DevicePlugin/Allocate" */
  readonly path: string;
}

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: CallContext,
) => MessageInitShape<O> | Promise<MessageInitShape<O>>;

/** Ends the stream by returning; must stop waiting when `call.signal` aborts. */
export type StreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: CallContext,
) => AsyncIterable<MessageInitShape<O>>;

/** One handler for each method of a service; the contracts vsmmu serves have unary and server-streaming ones only. */
export type ServiceHandlers<S extends DescService> = {
  readonly [K in keyof S['method']]: S['method'][K] extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : S['method'][K] extends DescMethodServerStreaming<infer I, infer O>
      ? StreamHandler<I, O>
      : never;
};

type AnyHandler = UnaryHandler<DescMessage, DescMessage> | StreamHandler<DescMessage, DescMessage>;

/** A service with its handlers, their types checked against each other by {@link service} and then forgotten. */
export interface ServedService {
  readonly description: DescService;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
}

/** Pairs a generated service with handlers of exactly its shape. */
export function service<S extends DescService>(description: S, handlers: ServiceHandlers<S>): ServedService {
  // The signature has proved that each handler fits its method; the server looks both up by the same name.
  return { description, handlers: handlers };
}
