import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

import { messageOf, VsmmuError } from '../errors.js';
import type { PageAssets } from './assets.js';

/** Where the page's data come from. Rejecting with KUBE_NOT_FOUND becomes 404. */
export interface PageSource {
  readonly overview: () => unknown;
  readonly node: (name: string) => Promise<unknown>;
  readonly vm: (namespace: string, name: string) => Promise<unknown>;
}

export interface PageServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly assets: PageAssets;
  readonly source: PageSource;
  readonly onFailure: (message: string, error: unknown) => void;
}

export interface PageServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Nothing from outside, nothing inline, no frame around it. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
};

const NAME = '[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?';
const NODE_PATH = new RegExp(`^/nodes/(${NAME})\\.json$`);
const VM_PATH = new RegExp(`^/vms/(${NAME})/(${NAME})\\.json$`);

/**
 * Serves the fleet page, read-only. It has no login of its own: it listens on the pod's loopback, where only
 * `kubectl port-forward` reaches it, which the API server has authenticated and authorized.
 *
 * @throws VsmmuError LISTEN_FAILED
 */
export async function servePage(options: PageServerOptions): Promise<PageServer> {
  const server = createServer((request, response) => void handle(request, response, options));
  server.listen(options.port, options.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new VsmmuError('LISTEN_FAILED', 'the page cannot be served', {
      place: `${options.host}:${options.port}`,
      remedy: 'Name an address of this machine and a free port.',
      cause,
    });
  }
  return { port: (server.address() as AddressInfo).port, close: () => close(server) };
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: PageServerOptions,
): Promise<void> {
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(request, response, 405, 'text/plain', 'read-only\n', { allow: 'GET, HEAD' });
      return;
    }
    if (!isTrustedHost(request.headers.host)) {
      send(request, response, 421, 'text/plain', 'this page is served under an address or localhost only\n');
      return;
    }
    await answer(request, response, options);
  } catch (error) {
    if (error instanceof VsmmuError && error.code === 'KUBE_NOT_FOUND') {
      send(request, response, 404, 'text/plain', 'not found\n');
      return;
    }
    options.onFailure('page request failed', error);
    const code = error instanceof VsmmuError ? error.code : 'INTERNAL';
    send(request, response, 502, 'text/plain', `${code}: ${messageOf(error)}\n`);
  }
}

/**
 * A page elsewhere could point a name of its own at our address and read us through a visitor's browser. Names but
 * localhost are refused; an address can't be made to mean another.
 */
export function isTrustedHost(host: string | undefined): boolean {
  if (host === undefined) return false;
  const name = host.replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || isIP(name) !== 0;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { assets, source }: PageServerOptions,
) {
  const [pathname = '/'] = (request.url ?? '/').split('?', 1);
  const json = (data: unknown) => send(request, response, 200, 'application/json', JSON.stringify(data));
  const asset = assets.get(pathname === '/' ? '/index.html' : pathname);
  if (asset !== undefined) {
    send(request, response, 200, asset.type, asset.text);
    return;
  }
  if (pathname === '/fleet.json') {
    json(source.overview());
    return;
  }
  const node = NODE_PATH.exec(pathname)?.[1];
  if (node !== undefined) {
    json(await source.node(node));
    return;
  }
  const vm = VM_PATH.exec(pathname);
  const [, namespace, , name] = vm ?? [];
  if (namespace !== undefined && name !== undefined) json(await source.vm(namespace, name));
  else send(request, response, 404, 'text/plain', 'not found\n');
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
  more: Readonly<Record<string, string>> = {},
): void {
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  const headers = { ...HEADERS, ...more, 'content-type': `${type}; charset=utf-8`, vary: 'accept-encoding' };
  if (status === 200 && request.headers['if-none-match'] === etag) {
    response.writeHead(304, { ...headers, etag }).end();
    return;
  }
  const zipped = text.length > 1024 && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  const body = zipped ? gzipSync(text) : Buffer.from(text, 'utf8');
  response.writeHead(status, {
    ...headers,
    ...(status === 200 ? { etag } : {}),
    ...(zipped ? { 'content-encoding': 'gzip' } : {}),
    'content-length': body.byteLength,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
