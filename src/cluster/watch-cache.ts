import type { KubeClient } from './kube-client.js';
import type { KubeError } from './kube-error.js';
import { keyOf, type KubeObject, type ResourceType } from './resource.js';
import { listAndWatch, type WatchOptions } from './watch.js';

export interface WatchCacheOptions<T> extends WatchOptions {
  /**
   * Takes what is needed out of an object, so that no more than that stays in memory. undefined leaves the object
   * out; what it throws is kept as the reason why this object can't be used, and hurts no other.
   */
  readonly parse: (object: KubeObject) => T | undefined;
  /** Milliseconds of a clock that never goes back; for tests. */
  readonly now?: () => number;
}

/** Told after the cache changed; `key` is undefined after a (re)list. */
export interface CacheChange<T> {
  readonly key: string | undefined;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** Why an object is in the API server but not in the cache. */
export interface Unusable {
  readonly key: string;
  readonly error: unknown;
}

/**
 * A resource kept in memory by list and watch. Reads never wait and never reach the API server; `staleMs` says how
 * old the answer may be. While the connection is lost the last known state stays.
 */
export class WatchCache<T> {
  readonly #type: ResourceType;
  readonly #options: WatchCacheOptions<T>;
  readonly #client: KubeClient;
  readonly #now: () => number;
  readonly #listeners = new Set<(change: CacheChange<T>) => void>();
  readonly #synced: Promise<void>;
  #markSynced: () => void = () => undefined;
  #objects = new Map<string, T>();
  #unusable = new Map<string, Unusable>();
  #relisting: { readonly objects: Map<string, T>; readonly unusable: Map<string, Unusable> } | undefined;
  #isSynced = false;
  #connected = false;
  #currentAt = -Infinity;
  #lastError: KubeError | undefined;

  constructor(client: KubeClient, type: ResourceType, options: WatchCacheOptions<T>) {
    this.#client = client;
    this.#type = type;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  /** Runs until the signal is aborted. Call it once. */
  async run(): Promise<void> {
    for await (const event of listAndWatch(this.#client, this.#type, this.#options)) {
      switch (event.type) {
        case 'relisting':
          this.#relisting = { objects: new Map(), unusable: new Map() };
          break;
        case 'listed':
          for (const object of event.objects) this.#take(object, this.#relisting ?? this.#kept());
          break;
        case 'synced':
          this.#finishList();
          break;
        case 'changed':
        case 'deleted':
          this.#change(event.object, event.type === 'deleted');
          break;
        case 'current':
          break;
        case 'lost':
          this.#connected = false;
          this.#lastError = event.error;
          continue;
      }
      if (event.type !== 'relisting' && event.type !== 'listed') this.#markCurrent();
    }
  }

  /** Resolves once the first list is in; never rejects. @see lastError for why it takes long */
  whenSynced(): Promise<void> {
    return this.#synced;
  }

  get synced(): boolean {
    return this.#isSynced;
  }

  /** Milliseconds since it was last known to be current; Infinity before the first list. */
  get staleMs(): number {
    return this.#now() - this.#currentAt;
  }

  /** false while the connection is lost. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Of the last loss of connection; stays after it is back. */
  get lastError(): KubeError | undefined {
    return this.#lastError;
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#objects.get(keyOf({ name, namespace }));
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** By "namespace/name", or name. */
  entries(): IterableIterator<[string, T]> {
    return this.#objects.entries();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Objects whose `parse` threw. */
  unusable(): readonly Unusable[] {
    return [...this.#unusable.values()];
  }

  /** @returns a function that ends it */
  onChange(listener: (change: CacheChange<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #kept() {
    return { objects: this.#objects, unusable: this.#unusable };
  }

  #take(object: KubeObject, into: { objects: Map<string, T>; unusable: Map<string, Unusable> }): void {
    const key = keyOf(object.metadata);
    into.unusable.delete(key);
    into.objects.delete(key);
    try {
      const value = this.#options.parse(object);
      if (value !== undefined) into.objects.set(key, value);
    } catch (error) {
      into.unusable.set(key, { key, error });
    }
  }

  #finishList(): void {
    if (this.#relisting === undefined) return;
    this.#objects = this.#relisting.objects;
    this.#unusable = this.#relisting.unusable;
    this.#relisting = undefined;
    this.#isSynced = true;
    this.#markSynced();
    this.#tell({ key: undefined, before: undefined, after: undefined });
  }

  #change(object: KubeObject, deleted: boolean): void {
    const key = keyOf(object.metadata);
    const before = this.#objects.get(key);
    if (deleted) {
      this.#objects.delete(key);
      this.#unusable.delete(key);
    } else this.#take(object, this.#kept());
    this.#tell({ key, before, after: this.#objects.get(key) });
  }

  #markCurrent(): void {
    this.#connected = true;
    this.#currentAt = this.#now();
  }

  #tell(change: CacheChange<T>): void {
    for (const listener of this.#listeners) listener(change);
  }
}
