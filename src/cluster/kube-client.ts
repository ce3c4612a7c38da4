import type { IncomingMessage } from 'node:http';

import type { KubeAccess } from './access.js';
import { type HttpRequest, HttpsTransport } from './https-transport.js';
import { joinSignals } from './joined-signal.js';
import { errorOfAnswer, malformedAnswer, unreachable } from './kube-error.js';
import {
  collectionPath,
  type KubeObject,
  type Manifest,
  objectPath,
  type ObjectRef,
  parseObject,
  type ResourceType,
} from './resource.js';

/** Far above a page of the largest objects (etcd takes 1.5 MiB each), far below what would end the process. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
/** As client-go's pager: keeps one answer small on both sides. */
const PAGE_SIZE = 500;

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Selection {
  /** Of a namespaced resource; undefined: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListPage {
  readonly objects: readonly KubeObject[];
  /** Of the whole list, the same on every page: where a watch goes on. */
  readonly resourceVersion: string;
}

/** RFC 6902. */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

export interface WriteOptions {
  /** "status", "scale". */
  readonly subresource?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ApplyOptions extends WriteOptions {
  readonly fieldManager: string;
  /** Take over fields that others own. */
  readonly force?: boolean | undefined;
}

export interface DeleteOptions {
  /** Refused with KUBE_CONFLICT where it is another object by now. */
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What patches an object; each is one of the API server's content types. */
export type Patch =
  | { readonly kind: 'merge'; readonly patch: Readonly<Record<string, unknown>> }
  | { readonly kind: 'json'; readonly patch: readonly JsonPatchOperation[] };

/**
 * The API server, as far as vsmmu's daemons need it, on node:https alone: a tenth of the memory of the general
 * client. Every failure is a KubeError; nothing is retried here but what surely was not processed.
 */
export class KubeClient {
  readonly #transport: HttpsTransport;
  readonly #timeoutMs: number;

  /** @param options.timeoutMs for one whole answer; a watch has its own watchdog */
  constructor(
    access: KubeAccess,
    options: { readonly userAgent?: string; readonly timeoutMs?: number } = {},
  ) {
    this.#transport = new HttpsTransport(access, options.userAgent ?? 'vsmmu');
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  async get(type: ResourceType, ref: ObjectRef, signal?: AbortSignal): Promise<KubeObject> {
    return this.#object({ method: 'GET', path: objectPath(type, ref) }, signal);
  }

  /** Page after page; KUBE_GONE in the middle where the list took longer than etcd keeps its revision. */
  async *list(
    type: ResourceType,
    selection: Selection = {},
    signal?: AbortSignal,
  ): AsyncGenerator<ListPage, void, undefined> {
    let continueToken: string | undefined;
    do {
      const query = { ...selectors(selection), limit: PAGE_SIZE, continue: continueToken };
      const path = `${collectionPath(type, selection.namespace)}${queryString(query)}`;
      const page = parseList(await this.request({ method: 'GET', path }, signal), path);
      yield page;
      continueToken = page.continueToken;
    } while (continueToken !== undefined);
  }

  /** All of it in memory. */
  async listAll(type: ResourceType, selection: Selection = {}, signal?: AbortSignal): Promise<KubeObject[]> {
    const objects: KubeObject[] = [];
    for await (const page of this.list(type, selection, signal)) objects.push(...page.objects);
    return objects;
  }

  /** @throws KubeError KUBE_ALREADY_EXISTS */
  async create(type: ResourceType, object: Manifest, { signal }: WriteOptions = {}): Promise<KubeObject> {
    const path = collectionPath(type, object.metadata.namespace);
    return this.#object({ method: 'POST', path, body: JSON.stringify(object) }, signal);
  }

  /** @throws KubeError KUBE_CONFLICT where the object's resourceVersion is not the current one */
  async replace(type: ResourceType, object: Manifest, options: WriteOptions = {}): Promise<KubeObject> {
    const path = objectPath(type, object.metadata, options.subresource);
    return this.#object({ method: 'PUT', path, body: JSON.stringify(object) }, options.signal);
  }

  async patch(
    type: ResourceType,
    ref: ObjectRef,
    change: Patch,
    options: WriteOptions = {},
  ): Promise<KubeObject> {
    const path = objectPath(type, ref, options.subresource);
    const contentType = `application/${change.kind}-patch+json`;
    const body = JSON.stringify(change.patch);
    return this.#object({ method: 'PATCH', path, body, contentType }, options.signal);
  }

  /** Server-side apply: creates the object, or sets exactly the fields given. */
  async apply(type: ResourceType, object: Manifest, options: ApplyOptions): Promise<KubeObject> {
    const query = queryString({ fieldManager: options.fieldManager, force: options.force });
    const path = `${objectPath(type, object.metadata, options.subresource)}${query}`;
    // JSON is YAML.
    const contentType = 'application/apply-patch+yaml';
    return this.#object({ method: 'PATCH', path, body: JSON.stringify(object), contentType }, options.signal);
  }

  async delete(type: ResourceType, ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, signal } = options;
    const body = JSON.stringify({
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid, resourceVersion },
    });
    await this.request({ method: 'DELETE', path: objectPath(type, ref), body }, signal);
  }

  /** One request, its JSON unchecked: for discovery and reviews, which are no stored objects. */
  async request(sent: Omit<HttpRequest, 'signal'>, signal?: AbortSignal): Promise<unknown> {
    return parseJson(await this.requestText(sent, signal), placeOf(sent));
  }

  /** The same for answers that are no JSON: logs of pods. */
  async requestText(sent: Omit<HttpRequest, 'signal'>, signal?: AbortSignal): Promise<string> {
    const place = placeOf(sent);
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const limit = joinSignals(signal, timeout);
    try {
      const answer = await this.#transport.send({ ...sent, signal: limit.signal });
      const text = await readBody(answer, place);
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return text;
      throw errorOfAnswer(place, status, tryJson(text), answer.headers['retry-after']);
    } finally {
      limit.release();
    }
  }

  /** The open answer of a watch; src/cluster/watch.ts reads it. */
  async openWatch(
    type: ResourceType,
    selection: Selection,
    query: Query,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const all = { ...selectors(selection), ...query, watch: true };
    const path = `${collectionPath(type, selection.namespace)}${queryString(all)}`;
    const answer = await this.#transport.send({ method: 'GET', path, signal });
    if (answer.statusCode === 200) return answer;
    const place = placeOf({ method: 'GET', path });
    const body = tryJson(await readBody(answer, place));
    throw errorOfAnswer(place, answer.statusCode ?? 0, body, answer.headers['retry-after']);
  }

  /** Drops kept connections. Idempotent; a later request opens new ones. */
  close(): void {
    this.#transport.close();
  }

  async #object(sent: Omit<HttpRequest, 'signal'>, signal: AbortSignal | undefined): Promise<KubeObject> {
    const object = parseObject(await this.request(sent, signal));
    if (object === undefined) throw malformedAnswer(placeOf(sent), 'is no object');
    return object;
  }
}

function placeOf({ method, path }: Pick<HttpRequest, 'method' | 'path'>): string {
  return `${method} ${path.split('?', 1)[0] ?? ''}`;
}

function selectors({ labelSelector, fieldSelector }: Selection): Query {
  return { labelSelector, fieldSelector };
}

function queryString(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

async function readBody(answer: IncomingMessage, place: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.byteLength;
      if (size > ANSWER_BYTES_MAX) {
        answer.destroy();
        throw malformedAnswer(place, `is longer than ${ANSWER_BYTES_MAX} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw size > ANSWER_BYTES_MAX ? error : unreachable(place, error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformedAnswer(place, 'is no JSON', cause);
  }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseList(json: unknown, path: string): ListPage & { readonly continueToken: string | undefined } {
  const place = placeOf({ method: 'GET', path });
  if (typeof json !== 'object' || json === null || !('items' in json) || !('metadata' in json))
    throw malformedAnswer(place, 'is no list');
  const metadata = json.metadata as {
    readonly resourceVersion?: unknown;
    readonly continue?: unknown;
  } | null;
  const items: unknown = json.items ?? [];
  if (!Array.isArray(items) || typeof metadata?.resourceVersion !== 'string')
    throw malformedAnswer(place, 'is no list');
  const objects = items.map((item) => {
    const object = parseObject(item);
    if (object === undefined) throw malformedAnswer(place, 'holds an item that is no object');
    return object;
  });
  const { continue: token } = metadata;
  return {
    objects,
    resourceVersion: metadata.resourceVersion,
    continueToken: typeof token === 'string' && token !== '' ? token : undefined,
  };
}
