import { Agent, request } from 'node:https';

/** An answer of the API server outside 2xx; `body` is its Status object where it sent one. */
export class ApiError extends Error {
  name = 'ApiError';

  /** @param {string} what @param {number} status @param {any} body */
  constructor(what, status, body) {
    super(`${what}: ${status} ${body?.reason ?? ''}: ${body?.message ?? JSON.stringify(body)}`);
    this.status = status;
    this.body = body;
  }
}

const PATCHES = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml', // JSON is YAML
};

/** A client of the API server with one identity, over HTTPS only: kubectl may be missing or too old. */
export class KubeClient {
  #url;
  #headers;
  #agent;
  #ca;

  /**
   * @param {{ url: string, ca: string, token?: string, user?: string, groups?: readonly string[], extra?: Record<string, string> }} options
   *   user, groups, extra: the identity to act as (impersonation)
   */
  constructor({ url, ca, token, user, groups = [], extra = {} }) {
    this.#url = url;
    this.#ca = ca;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    if (user !== undefined) this.#headers['impersonate-user'] = user;
    if (groups.length > 0) this.#headers['impersonate-group'] = groups;
    for (const [key, value] of Object.entries(extra)) {
      this.#headers[`impersonate-extra-${encodeURIComponent(key)}`] = value;
    }
    this.#agent = new Agent({ ca, keepAlive: true, maxSockets: 64 });
  }

  /** @returns {Promise<any>} the parsed body @throws {ApiError} */
  get(path, query) {
    return this.request('GET', path, { query });
  }

  /** @param {string} collection path of the collection @param {any} object */
  create(collection, object, query) {
    return this.request('POST', collection, { body: object, query });
  }

  replace(path, object, query) {
    return this.request('PUT', path, { body: object, query });
  }

  delete(path) {
    return this.request('DELETE', path);
  }

  /** @param {string} path @param {keyof PATCHES} kind @param {any} patch */
  patch(path, kind, patch, query) {
    return this.request('PATCH', path, { body: patch, contentType: PATCHES[kind], query });
  }

  /** Server-side apply as the field manager "test". */
  apply(path, object, query = {}) {
    return this.patch(path, 'apply', object, { fieldManager: 'test', force: 'true', ...query });
  }

  /** Prometheus text of /metrics. */
  metrics() {
    return this.request('GET', '/metrics');
  }

  /** @returns {Promise<any>} @throws {ApiError} */
  async request(method, path, options = {}) {
    const { status, body } = await this.exchange(method, path, options);
    if (status < 200 || status > 299) throw new ApiError(`${method} ${path}`, status, body);
    return body;
  }

  /** One exchange, whatever its status; `warnings` are the API server's warning headers. */
  exchange(method, path, { body, contentType = 'application/json', query = {} } = {}) {
    const url = new URL(path, this.#url);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = { ...this.#headers };
    if (payload !== undefined)
      Object.assign(headers, { 'content-type': contentType, 'content-length': payload.length });
    return new Promise((resolve, reject) => {
      const sent = request(url, { method, headers, agent: this.#agent, ca: this.#ca }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          resolve({
            status: response.statusCode,
            body: parse(Buffer.concat(chunks).toString(), response.headers['content-type']),
            warnings: [response.headers.warning ?? []].flat(),
          });
        });
      });
      sent.on('error', reject);
      sent.end(payload);
    });
  }

  close() {
    this.#agent.destroy();
  }
}

function parse(text, type = '') {
  return type.includes('json') ? JSON.parse(text) : text;
}
