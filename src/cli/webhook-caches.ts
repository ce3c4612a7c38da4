import type { MeasuredCache } from '../admission/metrics.js';
import {
  type ClaimRequest,
  claimRequests,
  selectsOurDevices,
  templateRequests,
} from '../cluster/claim-requests.js';
import { NAMESPACES } from '../cluster/core-resources.js';
import { DEVICE_CLASSES, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS } from '../cluster/dra-resources.js';
import type { KubeClient } from '../cluster/kube-client.js';
import { type NodeProfile, NODE_PROFILES, parseNodeProfile } from '../cluster/node-profile.js';
import type { KubeObject, ResourceType } from '../cluster/resource.js';
import { WatchCache } from '../cluster/watch-cache.js';
import { messageOf } from '../errors.js';
import { BASELINES, type BaselineObject, parseBaseline } from '../fleet/baseline-object.js';
import type { Labels } from '../fleet/label-selector.js';
import { parsePolicy, POLICIES, type Policy } from '../fleet/policy.js';
import type { Log } from '../log/log.js';

/** What the webhook keeps of the cluster in memory, so that no review waits for the API server. */
export interface WebhookCaches {
  readonly profiles: WatchCache<NodeProfile>;
  /** undefined: policies are not applied. */
  readonly policies: WatchedPolicies | undefined;
  /** undefined: nobody asks by ResourceClaims. */
  readonly claims: WatchedClaims | undefined;
  /** All of them, by plural. */
  readonly all: Readonly<Record<string, ListedCache>>;
}

export interface WatchedPolicies {
  readonly policies: WatchCache<Policy>;
  readonly baselines: WatchCache<BaselineObject>;
  readonly namespaces: WatchCache<Labels>;
}

export interface WatchedClaims {
  readonly claims: WatchCache<readonly ClaimRequest[]>;
  readonly templates: WatchCache<readonly ClaimRequest[]>;
  readonly classes: WatchCache<boolean>;
}

interface ListedCache extends MeasuredCache {
  readonly synced: boolean;
  readonly lastError: Error | undefined;
}

/** Replicas are few, and VMs wait for what they know: they are back soon after an API server is. */
const BACKOFF = { baseMs: 200, maxMs: 2000 };

export function watchForWebhook(
  client: KubeClient,
  wanted: { readonly policies: boolean; readonly dra: boolean },
  log: Log,
  signal: AbortSignal,
): WebhookCaches {
  const all: Record<string, ListedCache> = {};
  const watch = <T>(type: ResourceType, parse: (object: KubeObject) => T): WatchCache<T> => {
    const cache = new WatchCache(client, type, { parse, signal, backoff: BACKOFF });
    cache.run().catch((error: unknown) => {
      log.error('a watch ended', { of: type.plural, error: messageOf(error) });
    });
    all[type.plural] = cache;
    return cache;
  };
  return {
    profiles: watch(NODE_PROFILES, parseNodeProfile),
    policies: wanted.policies
      ? {
          policies: watch(POLICIES, parsePolicy),
          baselines: watch(BASELINES, parseBaseline),
          namespaces: watch(NAMESPACES, ({ metadata }) => metadata.labels ?? {}),
        }
      : undefined,
    claims: wanted.dra
      ? {
          claims: watch(RESOURCE_CLAIMS, claimRequests),
          templates: watch(RESOURCE_CLAIM_TEMPLATES, templateRequests),
          classes: watch(DEVICE_CLASSES, selectsOurDevices),
        }
      : undefined,
    all,
  };
}

/**
 * Why the webhook cannot judge yet; undefined where it can. Without profiles a VM would wait, and without policies it
 * would get other values than the cluster wants.
 */
export function unlisted({ all }: WebhookCaches): string | undefined {
  const missing = Object.entries(all).find(([, { synced }]) => !synced);
  if (missing === undefined) return undefined;
  const [plural, { lastError }] = missing;
  return `the ${plural} have not been listed yet${lastError === undefined ? '' : ` (${lastError.message})`}`;
}
