import type { ServerResponse } from 'node:http';

import {
  bookmark,
  listOf,
  sendEvents,
  sendJson,
  sendStatus,
  WireApiServer,
  type Received,
} from '../wire-api-server.js';

interface Stored {
  readonly metadata: Readonly<Record<string, unknown>> & {
    readonly name: string;
    readonly resourceVersion: string;
  };
  readonly [field: string]: unknown;
}
interface ApiObject {
  readonly metadata: { readonly name: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}
interface Event {
  readonly type: string;
  readonly collection: string;
  readonly version: number;
  readonly object: Stored;
}
interface Watcher {
  readonly collection: string;
  readonly response: ServerResponse;
}

/** Changes that a watch may still be resumed from; older ones are gone, as etcd compacts them. */
const HISTORY = 200;

/**
 * Enough of an API server for vsmmu's programs to live on, over real HTTPS: objects of any kind with versions, conflicts,
 * server-side apply as a merge, and watches that are cut, resumed, and answered 410 where they come too late.
 */
export class ApiStore {
  readonly wire: WireApiServer;
  requests = 0;
  writes = 0;
  faults = 0;
  /** Share of requests that are answered 429 or 503, or cut. */
  faultShare = 0;
  readonly #objects = new Map<string, Map<string, Stored>>();
  readonly #history: Event[] = [];
  readonly #watchers = new Set<Watcher>();
  #version = 1;

  private constructor(wire: WireApiServer) {
    this.wire = wire;
    wire.answer((received, response) => {
      wire.received.length = 0; // kept for tests; a soak would fill memory with them
      this.#answer(received, response);
    });
  }

  static async start(): Promise<ApiStore> {
    return new ApiStore(await WireApiServer.start());
  }

  put(collection: string, object: ApiObject): void {
    this.#store(collection, object.metadata.name, object);
  }

  get(collection: string, name: string): Stored | undefined {
    return this.#objects.get(collection)?.get(name);
  }

  /** Removes every object of a collection, as a kubelet does with its slices at its start. */
  wipe(collection: string): void {
    for (const name of this.#objects.get(collection)?.keys() ?? []) this.#remove(collection, name);
  }

  /** Ends all watches: in good order, or as a broken connection. */
  cutWatches(how: 'end' | 'reset'): void {
    for (const { response } of this.#watchers) {
      if (how === 'end') response.end();
      else response.destroy();
    }
    this.#watchers.clear();
  }

  #answer(received: Received, response: ServerResponse): void {
    this.requests += 1;
    if (this.#isFaulty(response)) return;
    const { method, path } = received;
    const { collection, name, subresource } = placeOf(path);
    if (method === 'GET' && name === undefined) this.#list(received, collection, response);
    else if (method === 'GET') this.#found(collection, name, response);
    else if (method === 'DELETE') {
      this.#remove(collection, name ?? '');
      sendJson(response, 200, { kind: 'Status', status: 'Success' });
    } else this.#write(received, { collection, name, subresource }, response);
  }

  #isFaulty(response: ServerResponse): boolean {
    if (Math.random() >= this.faultShare) return false;
    this.faults += 1;
    const kind = this.faults % 3;
    if (kind === 0) response.destroy();
    else if (kind === 1) sendStatus(response, 503, 'ServiceUnavailable', 'etcd is away');
    else sendStatus(response, 429, 'TooManyRequests', 'later', { retryAfterSeconds: 1 });
    return true;
  }

  #found(collection: string, name: string | undefined, response: ServerResponse): void {
    const object = this.#objects.get(collection)?.get(name ?? '');
    if (object === undefined)
      sendStatus(response, 404, 'NotFound', `${collection}/${name ?? ''} is not there`);
    else sendJson(response, 200, object);
  }

  #list({ query }: Received, collection: string, response: ServerResponse): void {
    if (query.get('watch') !== 'true') {
      sendJson(
        response,
        200,
        listOf([...(this.#objects.get(collection)?.values() ?? [])], String(this.#version)),
      );
      return;
    }
    const from = Number(query.get('resourceVersion') ?? 0);
    const oldest = this.#history[0]?.version ?? 0;
    if (from < oldest - 1 && this.#history.length === HISTORY) {
      sendEvents(response, {
        type: 'ERROR',
        object: { kind: 'Status', status: 'Failure', code: 410, reason: 'Expired' },
      });
      response.end();
      return;
    }
    const missed = this.#history.filter((event) => event.collection === collection && event.version > from);
    sendEvents(
      response,
      ...missed.map(({ type, object }) => ({ type, object })),
      bookmark(String(this.#version)),
    );
    const watcher = { collection, response };
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  #write(received: Received, { collection, name, subresource }: Place, response: ServerResponse): void {
    this.writes += 1;
    const sent = JSON.parse(received.body) as Stored;
    const known = this.#objects.get(collection)?.get(name ?? sent.metadata.name);
    if (received.method === 'POST' && known !== undefined) {
      sendStatus(response, 409, 'AlreadyExists', `${sent.metadata.name} is there`);
      return;
    }
    if (received.method === 'PUT' && known?.metadata.resourceVersion !== sent.metadata.resourceVersion) {
      sendStatus(response, 409, 'Conflict', 'it was changed');
      return;
    }
    const merged = received.method === 'PATCH' ? mergedWith(known, sent, subresource) : sent;
    const stored = this.#store(collection, name ?? sent.metadata.name, merged);
    sendJson(response, received.method === 'POST' ? 201 : 200, stored);
  }

  #store(collection: string, name: string, object: Readonly<Record<string, unknown>>): Stored {
    const objects = this.#objects.get(collection) ?? new Map<string, Stored>();
    this.#objects.set(collection, objects);
    const former = objects.get(name);
    const metadata = {
      creationTimestamp: new Date().toISOString(),
      uid: `uid-${name}`,
      ...(object['metadata'] as object | undefined),
      name,
      resourceVersion: String(++this.#version),
    };
    const stored: Stored = { ...object, metadata };
    objects.set(name, stored);
    this.#tell(former === undefined ? 'ADDED' : 'MODIFIED', collection, stored);
    return stored;
  }

  #remove(collection: string, name: string): void {
    const former = this.#objects.get(collection)?.get(name);
    if (former === undefined) return;
    this.#objects.get(collection)?.delete(name);
    const metadata = { ...former.metadata, resourceVersion: String(++this.#version) };
    this.#tell('DELETED', collection, { ...former, metadata });
  }

  #tell(type: string, collection: string, object: Stored): void {
    this.#history.push({ type, collection, object, version: this.#version });
    if (this.#history.length > HISTORY) this.#history.shift();
    for (const watcher of this.#watchers)
      if (watcher.collection === collection) sendEvents(watcher.response, { type, object });
  }
}

interface Place {
  readonly collection: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** "/apis/g/v/namespaces/ns/plural/name/status"; the namespace belongs to the name, so that lists span namespaces. */
function placeOf(path: string): Place {
  const [, root = '', ...parts] = /^\/(api\/v1|apis\/[^/]+\/[^/]+)\/(.*)$/.exec(path) ?? [];
  const words = (parts[0] ?? '').split('/').map(decodeURIComponent);
  const inNamespace = words[0] === 'namespaces' && words.length > 2;
  const [plural = '', name, subresource] = inNamespace ? words.slice(2) : words;
  return { collection: `/${root}/${plural}`, name, subresource };
}

/** Server-side apply and merge patches, as far as vsmmu's go: whole top-level fields. */
function mergedWith(
  known: Stored | undefined,
  sent: Stored,
  subresource: string | undefined,
): Readonly<Record<string, unknown>> {
  if (subresource !== undefined) return { ...known, [subresource]: sent[subresource] };
  return { ...known, ...sent, metadata: { ...known?.metadata, ...sent.metadata } };
}
