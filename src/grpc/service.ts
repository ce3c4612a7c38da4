import type { Init, MessageType } from './message.js';

interface MethodOf<Kind extends string, I, O> {
  readonly kind: Kind;
  /** As the path has it: "ListAndWatch". */
  readonly name: string;
  readonly input: MessageType<I>;
  readonly output: MessageType<O>;
}
export type UnaryMethod<I, O> = MethodOf<'unary', I, O>;
/** One request, a stream of answers. No contract that vsmmu has a part in streams requests. */
export type StreamMethod<I, O> = MethodOf<'stream', I, O>;
export type Method<I = unknown, O = unknown> = UnaryMethod<I, O> | StreamMethod<I, O>;

/** A service as generated code describes it. */
export interface ServiceType<M extends Record<string, Method> = Record<string, Method>> {
  readonly typeName: string;
  readonly methods: M;
}

export function unary<I, O>(name: string, input: MessageType<I>, output: MessageType<O>): UnaryMethod<I, O> {
  return { kind: 'unary', name, input, output };
}

export function stream<I, O>(
  name: string,
  input: MessageType<I>,
  output: MessageType<O>,
): StreamMethod<I, O> {
  return { kind: 'stream', name, input, output };
}

export function serviceType<M extends Record<string, Method>>(typeName: string, methods: M): ServiceType<M> {
  return { typeName, methods };
}

/** "/v1beta1.DevicePlugin/Allocate" */
export function pathOf(service: ServiceType, method: Method): string {
  return `/${service.typeName}/${method.name}`;
}

/** What a handler knows of the call it answers. */
export interface CallContext {
  /** Aborted when the peer gives up, its deadline passes, or the server closes. */
  readonly signal: AbortSignal;
  /** undefined: the peer set none. */
  readonly deadline: Date | undefined;
  /** "/v1beta1.DevicePlugin/Allocate" */
  readonly path: string;
}

export type UnaryHandler<I, O> = (request: I, call: CallContext) => Init<O> | Promise<Init<O>>;

/** Ends the stream by returning; must stop waiting when `call.signal` aborts. */
export type StreamHandler<I, O> = (request: I, call: CallContext) => AsyncIterable<Init<O>>;

/** One handler for each method of a service. */
export type ServiceHandlers<S extends ServiceType> = {
  readonly [K in keyof S['methods']]: S['methods'][K] extends UnaryMethod<infer I, infer O>
    ? UnaryHandler<I, O>
    : S['methods'][K] extends StreamMethod<infer I, infer O>
      ? StreamHandler<I, O>
      : never;
};

/** A method with its handler, their types checked against each other by {@link service} and then forgotten. */
export type ServedMethod =
  | { readonly method: UnaryMethod<unknown, unknown>; readonly handler: UnaryHandler<unknown, unknown> }
  | { readonly method: StreamMethod<unknown, unknown>; readonly handler: StreamHandler<unknown, unknown> };

/** By path. */
export type ServedService = ReadonlyMap<string, ServedMethod>;

/** Pairs a generated service with handlers of exactly its shape. */
export function service<S extends ServiceType>(description: S, handlers: ServiceHandlers<S>): ServedService {
  const served = Object.entries(description.methods).map(([name, method]): [string, ServedMethod] => [
    pathOf(description, method),
    // The signature has proved that each handler fits the method of its name.
    { method, handler: handlers[name] } as ServedMethod,
  ]);
  return new Map(served);
}
