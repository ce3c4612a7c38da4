import type { Socket } from 'node:net';
import { answerCall, type FailureListener, type OpenCalls } from './handler.js';
import { Http2Connection } from './http2/connection.js';
import type { ServedMethod, ServedService } from './service.js';
import { RpcError } from './status.js';
import { type Binding, listenUnix, type UnixListener } from './unix-socket.js';

export { service } from './service.js';
export type { CallContext, ServedService, ServiceHandlers } from './service.js';

export interface ServeOptions {
  /** Permission bits of the socket; default 0600. */
  readonly mode?: number;
  /** Default aside. */
  readonly binding?: Binding;
  /** How long close() lets unary calls finish; default 1,000 ms. */
  readonly graceMs?: number;
  /** Hears what handlers threw, for the log; the peer has its status already. */
  readonly onFailure?: FailureListener;
}

export interface UnixServer {
  readonly path: string;
  /** Does the path still name this server's socket? */
  isInPlace(): boolean;
  /**
   * Stops accepting, ends the streams, lets unary calls finish for the grace period, then cuts what is left.
   * Removes the socket if it is still this server's. May be called again; resolves when everything is closed.
   */
  close(): Promise<void>;
}

/**
 * Serves gRPC services on a unix socket.
 *
 * @throws VsmmuError SOCKET_PATH_TOO_LONG, SOCKET_PATH_TAKEN, SOCKET_UNUSABLE
 */
export async function serveUnix(
  path: string,
  services: readonly ServedService[],
  options: ServeOptions = {},
): Promise<UnixServer> {
  const open: OpenCalls = { streams: new Set(), unary: new Set() };
  const methods = new Map<string, ServedMethod>(services.flatMap((served) => [...served]));
  const connections = new Map<Http2Connection, Socket>();
  const accept = (socket: Socket) => {
    const connection = new Http2Connection(socket, 'server', {
      onStream: (stream, headers) =>
        answerCall(stream, headers, { methods, open, onFailure: options.onFailure ?? (() => undefined) }),
      onClose: () => undefined,
    });
    connections.set(connection, socket);
    socket.once('close', () => connections.delete(connection));
  };
  const listener = await listenUnix(path, options.mode ?? 0o600, accept, options.binding);
  let closing: Promise<void> | undefined;
  return {
    path,
    isInPlace: () => listener.isInPlace(),
    close: () => (closing ??= shutDown({ listener, connections, open }, options.graceMs ?? 1000)),
  };
}

interface Running {
  readonly listener: UnixListener;
  readonly connections: ReadonlyMap<Http2Connection, Socket>;
  readonly open: OpenCalls;
}

async function shutDown({ listener, connections, open }: Running, graceMs: number): Promise<void> {
  listener.stopListening();
  const reason = new RpcError('UNAVAILABLE', 'the server is closing');
  for (const stream of open.streams) stream.abort(reason);
  await drained(connections, graceMs);
  for (const call of open.unary) call.abort(reason);
  // What was aborted just now still tells its peer why.
  await new Promise(setImmediate);
  for (const connection of connections.keys()) connection.destroy();
}

/** Resolves when every connection has closed by itself, or after the grace period. */
async function drained(connections: ReadonlyMap<Http2Connection, Socket>, graceMs: number): Promise<void> {
  if (connections.size === 0) return;
  const closed = Promise.all([...connections.values()].map(closing));
  let timer: NodeJS.Timeout | undefined;
  const grace = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  for (const connection of connections.keys()) connection.goAway();
  await Promise.race([closed, grace]);
  clearTimeout(timer);
}

function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}
