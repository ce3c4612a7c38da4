import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { TLSSocket } from 'node:tls';

import { budgetMs } from './deadline.js';
import type { HttpLimits } from './http-limits.js';
import type {
  AllowedClients,
  HttpsOptions,
  JudgedReview,
  PatientHandler,
  ServerState,
} from './https-server.js';
import { failed, plain, type Reply, send } from './reply.js';
import { BodyBudget, type BodyRefusal, readBody } from './request-body.js';
import { parseReview, renderVerdict, type Verdict } from './review.js';

/** Prometheus' text format. */
const METRICS_TYPE = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' };

/** Answers what comes in on one server: finds the path's handler, keeps to the limits, never lets an error out. */
export class Front {
  readonly #options: HttpsOptions;
  readonly #limits: HttpLimits;
  readonly #bodies: BodyBudget;
  #active = 0;
  #draining = false;

  constructor(options: HttpsOptions, limits: HttpLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#bodies = new BodyBudget(limits.bodiesBytes);
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
    const { handlers, metrics } = this.#options;
    if (path === '/healthz') return plain(200, 'ok');
    if (path === '/readyz') return this.#ready();
    if (path === '/metrics' && metrics !== undefined)
      return { ...plain(200, ''), text: metrics(this.#state()), headers: METRICS_TYPE };
    const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
    if (handler === undefined) return plain(404, 'no such path');
    return this.#measured(path, () => this.#admit(handler, request, query));
  }

  #ready(): Reply {
    const missing = this.#missing();
    return missing === undefined ? plain(200, 'ok') : plain(503, missing);
  }

  #missing(): string | undefined {
    return this.#draining ? 'shutting down' : this.#options.unready?.();
  }

  #state(): ServerState {
    return { inFlight: this.#active, ready: this.#missing() === undefined };
  }

  async #measured(path: string, answer: () => Reply | Promise<Reply>): Promise<Reply> {
    const begun = performance.now();
    const reply = await answer();
    const { status, bytes = 0, review } = reply;
    const seconds = (performance.now() - begun) / 1000;
    this.#options.onAnswer?.({ path, status, seconds, bytes, review });
    return reply;
  }

  #admit(handler: PatientHandler, request: IncomingMessage, query: string): Reply | Promise<Reply> {
    if (!isAllowed(request, this.#options.clients))
      return { ...failed(401, 'a client certificate of the API server is required'), close: true };
    if (this.#active >= this.#limits.concurrent)
      return { ...failed(429, 'too many requests at once'), headers: { 'Retry-After': '1' } };
    const patienceMs = budgetMs(new URLSearchParams(query).get('timeout'), this.#limits.requestMs);
    this.#active++;
    return this.#review(handler, request, patienceMs).finally(() => this.#active--);
  }

  async #review(handler: PatientHandler, request: IncomingMessage, patienceMs: number): Promise<Reply> {
    const refused = refuseHead(request);
    if (refused !== undefined) return { ...refused, close: true };
    const budget = this.#bodies;
    const body = await readBody(request, { maxBytes: this.#limits.bodyBytes, patienceMs, budget });
    if (!body.ok) return { ...failed(...REFUSALS[body.refusal]), close: true };
    return this.#judge(handler, body.bytes).finally(() => budget.give(body.bytes.length));
  }

  async #judge(handler: PatientHandler, body: Buffer): Promise<Reply> {
    const json = parseJson(body);
    if (json === undefined) return failed(400, 'the body is not JSON');
    const parsed = parseReview(json);
    if (!parsed.ok) return failed(400, parsed.message, parsed.uid);
    const { uid, operation } = parsed.request;
    const bytes = body.length;
    try {
      const verdict = await handler(parsed.request);
      const review = { operation, outcome: outcomeOf(verdict) };
      return { status: 200, json: renderVerdict(uid, verdict), bytes, review };
    } catch (error) {
      this.#options.onFailure?.('a review failed', error);
      const reply = failed(500, 'the webhook failed; its log says why', uid);
      return { ...reply, bytes, review: { operation, outcome: 'failed' } };
    }
  }

  /** From now on not ready, and every answer ends its connection. */
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

function outcomeOf(verdict: Verdict): JudgedReview['outcome'] {
  if (!verdict.allowed) return 'refused';
  if ((verdict.warnings ?? []).length > 0) return 'warned';
  return (verdict.patch ?? []).length > 0 ? 'patched' : 'unchanged';
}

function isAllowed({ socket }: IncomingMessage, clients: AllowedClients | undefined): boolean {
  if (clients === undefined) return true;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
  const name = socket.getPeerCertificate().subject.CN;
  return clients.names.length === 0 || clients.names.some((allowed) => allowed === name);
}

const REFUSALS: Readonly<Record<BodyRefusal, readonly [number, string]>> = {
  'too-large': [413, 'the body is larger than an AdmissionReview can be'],
  'too-many': [429, 'too many large requests at once'],
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
