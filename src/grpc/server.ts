import { Server, ServerCredentials, type ConnectionInjector } from '@grpc/grpc-js';
import type { Socket } from 'node:net';
import { grpcService, type FailureListener, type OpenCalls } from './handler.js';
import type { ServedService } from './service.js';
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
 * Connections are accepted here and handed to grpc-js: its own bindAsync follows the umask, reports a taken
 * address as a bare number, and never notices that the socket file is gone.
 *
 * @throws VsmmuError SOCKET_PATH_TOO_LONG, SOCKET_PATH_TAKEN, SOCKET_UNUSABLE
 */
export async function serveUnix(
  path: string,
  services: readonly ServedService[],
  options: ServeOptions = {},
): Promise<UnixServer> {
  const open: OpenCalls = { streams: new Set(), unary: new Set() };
  // channelz keeps a record per connection and call; nothing here reads it.
  const server = new Server({ 'grpc.enable_channelz': 0 });
  for (const served of services) {
    const { definition, implementation } = grpcService(served, open, options.onFailure ?? (() => undefined));
    server.addService(definition, implementation);
  }
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const sockets = new Set<Socket>();
  const accept = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // A peer that vanishes mid-write is everyday; http2 ends the session, this keeps the error from being unhandled.
    socket.on('error', () => socket.destroy());
    injector.injectConnection(socket);
  };
  const listener = await listenUnix(path, options.mode ?? 0o600, accept, options.binding);
  let closing: Promise<void> | undefined;
  return {
    path,
    isInPlace: () => listener.isInPlace(),
    close: () =>
      (closing ??= shutDown({ server, injector, listener, sockets, open }, options.graceMs ?? 1000)),
  };
}

interface Running {
  readonly server: Server;
  readonly injector: ConnectionInjector;
  readonly listener: UnixListener;
  readonly sockets: ReadonlySet<Socket>;
  readonly open: OpenCalls;
}

async function shutDown(
  { server, injector, listener, sockets, open }: Running,
  graceMs: number,
): Promise<void> {
  listener.stopListening();
  const reason = new RpcError('UNAVAILABLE', 'the server is closing');
  for (const stream of open.streams) stream.abort(reason);
  await drained(server, sockets, graceMs);
  for (const call of open.unary) call.abort(reason);
  injector.destroy();
  server.forceShutdown();
  for (const socket of sockets) socket.destroy();
}

/**
 * Resolves when every connection has closed by itself, or after the grace period. The connections are watched, not
 * tryShutdown()'s callback: with injected connections it is called at once on Node 24, while calls still run.
 */
async function drained(server: Server, sockets: ReadonlySet<Socket>, graceMs: number): Promise<void> {
  if (sockets.size === 0) return;
  const closed = Promise.all([...sockets].map(closing));
  let timer: NodeJS.Timeout | undefined;
  const grace = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  server.tryShutdown(() => undefined);
  await Promise.race([closed, grace]);
  clearTimeout(timer);
}

/** A broken connection closes too; its error has a listener already. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}
