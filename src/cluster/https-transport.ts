import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';

import { errnoOf } from '../errors.js';
import type { Credentials, KubeAccess } from './access.js';
import { unreachable } from './kube-error.js';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query. */
  readonly path: string;
  readonly body?: string | undefined;
  readonly contentType?: string | undefined;
  readonly signal: AbortSignal;
}

/** Sends requests over kept connections, with the credentials of the moment. Knows nothing of Kubernetes' objects. */
export class HttpsTransport {
  readonly #access: KubeAccess;
  readonly #userAgent: string;
  #agent: Agent | undefined;
  #agentFor: Credentials = {};

  constructor(access: KubeAccess, userAgent: string) {
    this.#access = access;
    this.#userAgent = userAgent;
  }

  /** The answer's head; its body is still to be read. @throws KubeError KUBE_UNREACHABLE */
  async send(sent: HttpRequest): Promise<IncomingMessage> {
    const answer = await this.#sendOnce(sent, false);
    if (answer.statusCode !== 401) return answer;
    // A rotated token is refused before the next regular look at the file.
    answer.resume();
    return this.#sendOnce(sent, true);
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  async #sendOnce(sent: HttpRequest, refused: boolean): Promise<IncomingMessage> {
    const credentials = await this.#access.credentials(refused);
    const agent = this.#agentOf(credentials);
    try {
      return await this.#exchange(sent, credentials, agent);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      // The server closed a kept connection just as it was used again; nothing was processed.
      return await this.#exchange(sent, credentials, agent);
    }
  }

  /** Connections carry the client certificate and trust one CA, so they are dropped when these change. */
  #agentOf(credentials: Credentials): Agent {
    const { ca, cert, key } = credentials;
    const before = this.#agentFor;
    if (this.#agent !== undefined && before.ca === ca && before.cert === cert && before.key === key)
      return this.#agent;
    this.#agent?.destroy();
    this.#agentFor = credentials;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 32, minVersion: 'TLSv1.2', ca, cert, key });
    return this.#agent;
  }

  #exchange(sent: HttpRequest, { token }: Credentials, agent: Agent): Promise<IncomingMessage> {
    const url = new URL(sent.path, this.#access.url);
    const place = `${sent.method} ${url.origin}${url.pathname}`;
    const headers: Record<string, string> = { 'user-agent': this.#userAgent, accept: 'application/json' };
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    if (sent.body !== undefined) {
      headers['content-type'] = sent.contentType ?? 'application/json';
      headers['content-length'] = String(Buffer.byteLength(sent.body));
    }
    return new Promise((resolve, reject) => {
      const outgoing = request(url, { method: sent.method, headers, agent, signal: sent.signal });
      outgoing.once('response', resolve);
      outgoing.once('error', (cause) => {
        const stale = outgoing.reusedSocket && errnoOf(cause) === 'ECONNRESET' && sent.method === 'GET';
        reject(stale ? new StaleConnection() : unreachable(place, cause));
      });
      outgoing.end(sent.body);
    });
  }
}

class StaleConnection extends Error {}
