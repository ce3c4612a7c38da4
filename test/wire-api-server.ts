import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import { createAuthority, issueLeaf } from '../src/admission/certificates/issue.js';

/** One request as it arrived. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** The TCP connection, to break it. */
  readonly socket: Socket;
}

export type Answer = (received: Received, response: ServerResponse) => void;

/**
 * A real HTTPS server on a free port that speaks the API server's wire format, with each answer scripted by the
 * test: what a real API server does only under faults (410, half-open connections, broken JSON).
 */
export class WireApiServer {
  readonly ca: string;
  readonly received: Received[] = [];
  readonly #server: Server;
  #answer: Answer = (_, response) => sendStatus(response, 404, 'NotFound', 'nothing is scripted');

  private constructor(server: Server, ca: string) {
    this.#server = server;
    this.ca = ca;
  }

  static async start(): Promise<WireApiServer> {
    const day = 24 * 3600 * 1000;
    const validity = { notBefore: new Date(Date.now() - day), notAfter: new Date(Date.now() + day) };
    const authority = createAuthority('test authority', validity);
    const leaf = issueLeaf(authority, { names: ['127.0.0.1'], validity });
    const server = createServer({ cert: leaf.cert, key: leaf.key });
    const wire = new WireApiServer(server, authority.cert);
    server.on('request', (request, response) => void wire.#handle(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return wire;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  answer(answer: Answer): void {
    this.#answer = answer;
  }

  /** One answer after the other; the last is given again and again. */
  answers(...answers: readonly Answer[]): void {
    let next = 0;
    this.#answer = (received, response) => {
      const answer = answers[Math.min(next++, answers.length - 1)];
      answer?.(received, response);
    };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const url = new URL(request.url ?? '/', 'https://server');
    const received: Received = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
      socket: request.socket,
    };
    this.received.push(received);
    this.#answer(received, response);
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** metav1.Status, as the API server sends with every refusal. */
export function sendStatus(
  response: ServerResponse,
  code: number,
  reason: string,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): void {
  sendJson(response, code, {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    code,
    reason,
    message,
    details,
  });
}

export function object(name: string, resourceVersion: string, more: Readonly<Record<string, unknown>> = {}) {
  return { metadata: { name, resourceVersion }, ...more };
}

export function listOf(
  objects: readonly unknown[],
  resourceVersion: string,
  continueToken?: string,
): Record<string, unknown> {
  return {
    kind: 'List',
    apiVersion: 'v1',
    metadata: { resourceVersion, ...(continueToken === undefined ? {} : { continue: continueToken }) },
    items: objects,
  };
}

/** A watch's events as lines; the answer stays open. */
export function sendEvents(
  response: ServerResponse,
  ...events: readonly { readonly type: string; readonly object: unknown }[]
): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/json' });
  response.write(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  response.flushHeaders();
}

export function bookmark(resourceVersion: string) {
  return { type: 'BOOKMARK', object: { kind: 'Node', metadata: { resourceVersion } } };
}
