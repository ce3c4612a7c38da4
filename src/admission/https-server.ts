import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';

import { errnoOf, messageOf, VsmmuError } from '../errors.js';
import type { KeyPair } from './certificates/issue.js';
import { budgetMs } from './deadline.js';
import { DEFAULT_LIMITS, type HttpLimits } from './http-limits.js';
import { type BodyRefusal, readBody } from './request-body.js';
import { type AdmissionRequest, parseReview, renderFailure, renderVerdict, type Verdict } from './review.js';

/** Judges one request; pure or nearly so. What it throws becomes a 500, which the API server takes as "no answer". */
export type ReviewHandler = (request: AdmissionRequest) => Verdict;

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

export interface HttpsOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly certificate: KeyPair;
  readonly minVersion?: TlsVersion;
  readonly limits?: Partial<HttpLimits>;
  /** Only these clients may ask for reviews; undefined: anyone who can connect. Probes need no certificate. */
  readonly clients?: AllowedClients;
  /** By path: "/mutate". */
  readonly handlers: Readonly<Record<string, ReviewHandler>>;
  /** Answers /readyz: undefined where ready, else what is missing. */
  readonly unready?: () => string | undefined;
  /** Hears of failures that are this program's own. */
  readonly onFailure?: (message: string, error: unknown) => void;
}

export interface AllowedClients {
  /** PEM of the authorities that sign their certificates. */
  readonly ca: string;
  /** Common names; empty: every client with a certificate of the authorities. */
  readonly names: readonly string[];
}

export interface AdmissionServer {
  readonly port: number;
  /** From now on new connections get this certificate; open ones go on. */
  setCertificate(certificate: KeyPair): void;
  /**
   * From now on /readyz says no and every answer ends its connection, so that the API server's idle ones move to
   * other replicas; new connections are still answered until endpoints have been withdrawn.
   */
  retire(): void;
  /** Stops accepting, answers what is open with "Connection: close", cuts what is left after the grace period. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Serves AdmissionReview v1 over HTTPS. HTTP/1.1 only: the API server uses nothing else, and HTTP/2 would only
 * bring its denial-of-service class (CVE-2023-44487).
 *
 * @throws VsmmuError TLS_FILES, LISTEN_FAILED
 */
export async function serveAdmission(options: HttpsOptions): Promise<AdmissionServer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { clients } = options;
  const tls = {
    minVersion: options.minVersion ?? 'TLSv1.3',
    ...(clients === undefined ? {} : { ca: clients.ca, requestCert: true, rejectUnauthorized: false }),
  } as const;
  const front = new Front(options, limits);
  const server = createServer(
    {
      ...tls,
      ...options.certificate,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
    } satisfies ServerOptions,
    (request, response) => void front.answer(request, response),
  );
  const port = await listen(server, options.host, options.port);
  return {
    port,
    setCertificate: (certificate) => server.setSecureContext({ ...tls, ...certificate }),
    retire: () => front.retire(),
    close: (graceMs = 10_000) => front.drain(server, graceMs),
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new VsmmuError('LISTEN_FAILED', messageOf(error), {
          place: `${host}:${port}`,
          remedy:
            errnoOf(error) === 'EADDRINUSE'
              ? 'Choose another port, or stop the program that has this one.'
              : 'Choose an address of this machine and a port above 1023.',
          cause: error,
        }),
      );
    });
    server.listen(port, host, () => {
      const { port: bound } = server.address() as AddressInfo;
      resolve(bound);
    });
  });
}

class Front {
  readonly #options: HttpsOptions;
  readonly #limits: HttpLimits;
  #active = 0;
  #draining = false;

  constructor(options: HttpsOptions, limits: HttpLimits) {
    this.#options = options;
    this.#limits = limits;
  }

  /** Never rejects: Node ends a process for that. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    let reply: Reply;
    try {
      reply = await this.#reply(request);
    } catch (error) {
      this.#options.onFailure?.('a request failed', error);
      reply = failed(500, 'the webhook failed; its log says why');
    }
    send(response, this.#draining ? { ...reply, close: true } : reply);
  }

  #reply(request: IncomingMessage): Reply | Promise<Reply> {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    if (path === '/healthz') return plain(200, 'ok');
    if (path === '/readyz') return this.#ready();
    const { handlers } = this.#options;
    const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
    if (handler === undefined) return plain(404, 'no such path');
    if (!isAllowed(request, this.#options.clients))
      return { ...failed(401, 'a client certificate of the API server is required'), close: true };
    if (this.#active >= this.#limits.concurrent)
      return { ...failed(429, 'too many requests at once'), headers: { 'Retry-After': '1' } };
    const budget = budgetMs(new URLSearchParams(query).get('timeout'), this.#limits.requestMs);
    this.#active++;
    return this.#review(handler, request, budget).finally(() => this.#active--);
  }

  #ready(): Reply {
    const missing = this.#draining ? 'shutting down' : this.#options.unready?.();
    return missing === undefined ? plain(200, 'ok') : plain(503, missing);
  }

  async #review(handler: ReviewHandler, request: IncomingMessage, budget: number): Promise<Reply> {
    const refused = refuseHead(request);
    if (refused !== undefined) return { ...refused, close: true };
    const body = await readBody(request, this.#limits.bodyBytes, budget);
    if (!body.ok) return { ...failed(...REFUSALS[body.refusal]), close: true };

    const json = parseJson(body.bytes);
    if (json === undefined) return failed(400, 'the body is not JSON');
    const review = parseReview(json);
    if (!review.ok) return failed(400, review.message, review.uid);
    const { uid } = review.request;
    try {
      return { status: 200, json: renderVerdict(uid, handler(review.request)) };
    } catch (error) {
      this.#options.onFailure?.('a review failed', error);
      return failed(500, 'the webhook failed; its log says why', uid);
    }
  }

  retire(): void {
    this.#draining = true;
  }

  drain(server: Server, graceMs: number): Promise<void> {
    this.retire();
    return new Promise((resolve) => {
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      server.close(() => {
        clearTimeout(cut);
        resolve();
      });
    });
  }
}

function isAllowed({ socket }: IncomingMessage, clients: AllowedClients | undefined): boolean {
  if (clients === undefined) return true;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
  const name = socket.getPeerCertificate().subject.CN;
  return clients.names.length === 0 || clients.names.some((allowed) => allowed === name);
}

const REFUSALS: Readonly<Record<BodyRefusal, readonly [number, string]>> = {
  'too-large': [413, 'the body is larger than an AdmissionReview can be'],
  timeout: [504, 'the body did not arrive before the deadline'],
  aborted: [400, 'the body ended early'],
};

/** What is wrong with a request before its body is read. */
function refuseHead(request: IncomingMessage): Reply | undefined {
  if (request.method !== 'POST')
    return { ...failed(405, 'only POST is answered here'), headers: { Allow: 'POST' } };
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/json')
    return failed(415, 'the Content-Type must be application/json');
  const encoding = request.headers['content-encoding'] ?? 'identity';
  return encoding === 'identity' ? undefined : failed(415, 'the body must not be compressed');
}

/** undefined: not JSON. JSON's own null is no review either, and comes back as null. */
function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

interface Reply {
  readonly status: number;
  readonly json?: string;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The rest of the request is not wanted: the connection ends with the answer. */
  readonly close?: boolean;
}

function failed(status: number, message: string, uid = ''): Reply {
  return { status, json: renderFailure(uid, status, message) };
}

function plain(status: number, text: string): Reply {
  return { status, text: `${text}\n` };
}

function send(response: ServerResponse, { status, json, text = '', headers, close = false }: Reply): void {
  const body = json ?? text;
  response.writeHead(status, {
    ...headers,
    'Content-Type': json === undefined ? 'text/plain; charset=utf-8' : 'application/json',
    'Content-Length': Buffer.byteLength(body),
    ...(close ? { Connection: 'close' } : {}),
  });
  response.end(body);
}
