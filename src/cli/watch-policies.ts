import { NAMESPACES } from '../cluster/core-resources.js';
import type { KubeClient } from '../cluster/kube-client.js';
import { WatchCache } from '../cluster/watch-cache.js';
import { messageOf } from '../errors.js';
import { BASELINES, type BaselineObject, parseBaseline } from '../fleet/baseline-object.js';
import type { Labels } from '../fleet/label-selector.js';
import { parsePolicy, POLICIES, type Policy } from '../fleet/policy.js';
import type { Log } from '../log/log.js';

/** What decides about new VMIs, kept in memory. */
export interface WatchedPolicies {
  readonly policies: WatchCache<Policy>;
  readonly baselines: WatchCache<BaselineObject>;
  readonly namespaces: WatchCache<Labels>;
}

export function watchPolicies(client: KubeClient, log: Log, signal: AbortSignal): WatchedPolicies {
  const watched: WatchedPolicies = {
    policies: new WatchCache(client, POLICIES, { parse: parsePolicy, signal }),
    baselines: new WatchCache(client, BASELINES, { parse: parseBaseline, signal }),
    namespaces: new WatchCache(client, NAMESPACES, {
      parse: ({ metadata }) => metadata.labels ?? {},
      signal,
    }),
  };
  for (const [name, cache] of Object.entries<{ run(): Promise<void> }>({ ...watched }))
    cache.run().catch((error: unknown) => log.error('a watch ended', { of: name, error: messageOf(error) }));
  return watched;
}

/** Without policies a VMI would get other values than the cluster wants: no service before they are known. */
export function unsyncedPolicies(watched: WatchedPolicies | undefined): string | undefined {
  if (watched === undefined) return undefined;
  const { policies, baselines, namespaces } = watched;
  const missing = Object.entries({ policies, baselines, namespaces }).find(([, cache]) => !cache.synced);
  if (missing === undefined) return undefined;
  const [name, { lastError }] = missing;
  return `the ${name} have not been listed yet${lastError === undefined ? '' : ` (${lastError.message})`}`;
}
