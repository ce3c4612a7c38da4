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
import { failed, JSON_TYPE, plain, type Reply, send } from './reply.js';
import { BodyBudget, type BodyRefusal, readBody } from './request-body.js';
import { renderVerdict } from './review-answer.js';
import { type AdmissionRequest, parseReview, type Verdict } from './review.js';

/** Prometheus' text format. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Gets the one answer to a request. */
type Answer = (reply: Reply) => void;

/**
 * Answers what comes in on one server: finds the path's handler, keeps to the limits, never lets an error out.
 *
 * A review goes through here without a promise, from the last byte of its body to its answer: layers of them took a
 * tenth of a small review's CPU time (docs/decisions/0010-what-a-review-costs.md).
 */
export class Front {
  readonly #options: HttpsOptions;
  readonly #handlers: ReadonlyMap<string, PatientHandler>;
  readonly #limits: HttpLimits;
  readonly #bodies: BodyBudget;
  #active = 0;
  #draining = false;

  constructor(options: HttpsOptions, limits: HttpLimits) {
    this.#options = options;
    this.#handlers = new Map(Object.entries(options.handlers));
    this.#limits = limits;
    this.#bodies = new BodyBudget(limits.bodiesBytes);
  }

  /** Never throws: Node ends a process for that. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', ignore);
    const url = request.url ?? '';
    const end = url.indexOf('?');
    const path = end === -1 ? url : url.slice(0, end);
    const handler = this.#handlers.get(path);
    if (handler === undefined)
      this.#send(
        response,
        this.#safely(() => this.#page(path)),
      );
    else this.#measured(path, handler, request, end === -1 ? '' : url.slice(end + 1), response);
  }

  #measured(
    path: string,
    handler: PatientHandler,
    request: IncomingMessage,
    query: string,
    response: ServerResponse,
  ): void {
    const begun = performance.now();
    this.#admit(handler, request, query, (reply) => {
      const { status, bytes = 0, review } = reply;
      const seconds = (performance.now() - begun) / 1000;
      const told = this.#safely(() => {
        this.#options.onAnswer?.({ path, status, seconds, bytes, review });
        return reply;
      });
      this.#send(response, told);
    });
  }

  #send(response: ServerResponse, reply: Reply): void {
    send(response, this.#draining ? { ...reply, close: true } : reply);
  }

  /** What throws is this program's own failure. */
  #safely(reply: () => Reply): Reply {
    try {
      return reply();
    } catch (error) {
      this.#options.onFailure?.('a request failed', error);
      return failed(500, 'the webhook failed; its log says why');
    }
  }

  #page(path: string): Reply {
    const { metrics } = this.#options;
    if (path === '/healthz') return plain(200, 'ok');
    if (path === '/readyz') return this.#ready();
    if (path === '/metrics' && metrics !== undefined)
      return { status: 200, text: metrics(this.#state()), type: METRICS_TYPE };
    return plain(404, 'no such path');
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

  #admit(handler: PatientHandler, request: IncomingMessage, query: string, answer: Answer): void {
    const refused = this.#refuse(request);
    if (refused !== undefined) {
      answer(refused);
      return;
    }
    this.#active++;
    this.#review(handler, request, budgetMs(query, this.#limits.requestMs), (reply) => {
      this.#active--;
      answer(reply);
    });
  }

  /** Why a request is not even read. */
  #refuse(request: IncomingMessage): Reply | undefined {
    if (!isAllowed(request, this.#options.clients))
      return { ...failed(401, 'a client certificate of the API server is required'), close: true };
    if (this.#active >= this.#limits.concurrent)
      return { ...failed(429, 'too many requests at once'), headers: ['Retry-After', '1'] };
    const refused = refuseHead(request);
    return refused === undefined ? undefined : { ...refused, close: true };
  }

  #review(handler: PatientHandler, request: IncomingMessage, patienceMs: number, answer: Answer): void {
    const budget = this.#bodies;
    readBody(request, { maxBytes: this.#limits.bodyBytes, patienceMs, budget }, (body) => {
      if (!body.ok) {
        answer({ ...failed(...REFUSALS[body.refusal]), close: true });
        return;
      }
      const settle: Answer = (reply) => {
        budget.give(body.bytes.length);
        answer(reply);
      };
      const reply = this.#judge(handler, body.bytes);
      if (reply instanceof Promise) void reply.then(settle);
      else settle(reply);
    });
  }

  /** Neither throws nor rejects. */
  #judge(handler: PatientHandler, body: Buffer): Reply | Promise<Reply> {
    const json = parseJson(body);
    if (json === undefined) return failed(400, 'the body is not JSON');
    const parsed = parseReview(json);
    if (!parsed.ok) return failed(400, parsed.message, parsed.uid);
    const { request } = parsed;
    try {
      const verdict = handler(request);
      if (verdict instanceof Promise) return this.#judgedLater(request, verdict, body.length);
      return judged(request, verdict, body.length);
    } catch (error) {
      return this.#failed(request, error, body.length);
    }
  }

  async #judgedLater(request: AdmissionRequest, verdict: Promise<Verdict>, bytes: number): Promise<Reply> {
    try {
      return judged(request, await verdict, bytes);
    } catch (error) {
      return this.#failed(request, error, bytes);
    }
  }

  #failed({ uid, operation }: AdmissionRequest, error: unknown, bytes: number): Reply {
    this.#options.onFailure?.('a review failed', error);
    const reply = failed(500, 'the webhook failed; its log says why', uid);
    return { ...reply, bytes, review: { operation, outcome: 'failed' } };
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

function ignore(): void {
  // A caller that went away: there is nobody to answer.
}

function judged({ uid, operation }: AdmissionRequest, verdict: Verdict, bytes: number): Reply {
  const review = { operation, outcome: outcomeOf(verdict) };
  return { status: 200, json: renderVerdict(uid, verdict), bytes, review };
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
    return { ...failed(405, 'only POST is answered here'), headers: ['Allow', 'POST'] };
  const type = request.headers['content-type'] ?? '';
  if (type !== JSON_TYPE && type.split(';', 1)[0]?.trim().toLowerCase() !== JSON_TYPE)
    return failed(415, `the Content-Type must be ${JSON_TYPE}`);
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
