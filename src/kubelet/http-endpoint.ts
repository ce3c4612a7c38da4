import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, VsmmuError } from '../errors.js';

/** undefined: well; a text: what is wrong. */
export type Check = () => Promise<string | undefined>;

export interface HttpEndpointOptions {
  /** "127.0.0.1:9401", ":9401" for every address, "[::1]:0" for any free port. */
  readonly listen: string;
  readonly metrics: () => string;
  /** Is the process worth keeping? It asks its own sockets over the wire. */
  readonly healthy: Check;
  /** Does the node's capacity show what this agent knows? */
  readonly ready: Check;
  /** What is advertised, and why the rest is not. */
  readonly status: () => unknown;
}

export interface HttpEndpoint {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves /metrics, /healthz, /readyz and /status, read-only and without secrets.
 *
 * @throws VsmmuError USAGE, LISTEN_FAILED
 */
export async function serveHttpEndpoint(options: HttpEndpointOptions): Promise<HttpEndpoint> {
  const { host, port } = parseListen(options.listen);
  const server = createServer((request, response) => {
    // Not by URL, which throws for a path like "//".
    const [path = '/'] = (request.url ?? '/').split('?', 1);
    answer(path, options, response).catch((error: unknown) => {
      send(response, 500, messageOf(error));
    });
  });
  server.requestTimeout = 10_000;
  await listening(server, host, port, options.listen);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(path: string, options: HttpEndpointOptions, response: ServerResponse): Promise<void> {
  if (path === '/metrics') {
    send(response, 200, options.metrics(), 'text/plain; version=0.0.4; charset=utf-8');
  } else if (path === '/status') {
    send(response, 200, `${JSON.stringify(options.status(), undefined, 2)}\n`, 'application/json');
  } else if (path === '/healthz' || path === '/readyz') {
    const fault = await (path === '/healthz' ? options.healthy() : options.ready());
    send(response, fault === undefined ? 200 : 503, `${fault ?? 'ok'}\n`);
  } else {
    send(response, 404, '/metrics, /healthz, /readyz or /status\n');
  }
}

function send(
  response: ServerResponse,
  status: number,
  body: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': type });
  response.end(body);
}

function parseListen(text: string): { host: string | undefined; port: number } {
  const parsed = /^(?:\[([0-9a-fA-F:.]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(parsed?.[3]);
  if (parsed === null || port > 65_535) {
    throw new VsmmuError('USAGE', `"${text}" is no address to listen on.`, {
      place: '--http',
      remedy: 'Write ADDRESS:PORT, [IPV6]:PORT or :PORT.',
      exitStatus: 2,
    });
  }
  const host = parsed[1] ?? parsed[2];
  return { host: host === '' ? undefined : host, port };
}

function listening(server: Server, host: string | undefined, port: number, listen: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new VsmmuError('LISTEN_FAILED', `The agent cannot listen: ${messageOf(cause)}`, {
          place: listen,
          remedy: 'Choose an address of this machine and a free port.',
          cause,
        }),
      ),
    );
    server.listen({ port, ...(host !== undefined && { host }) }, resolve);
  });
}
