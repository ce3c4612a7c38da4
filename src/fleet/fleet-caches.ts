import type { BackoffOptions } from '../cluster/backoff.js';
import type { KubeClient } from '../cluster/kube-client.js';
import { NODE_PROFILES, type NodeProfile, parseNodeProfile } from '../cluster/node-profile.js';
import type { KubeObject, ResourceType } from '../cluster/resource.js';
import { WatchCache } from '../cluster/watch-cache.js';
import { BASELINES, type BaselineObject, parseBaseline } from './baseline-object.js';
import { type FleetVmi, parseFleetVmi } from './bound-vmi.js';
import { NAMESPACES, NODES, VMIS } from '../cluster/core-resources.js';
import type { Labels } from './label-selector.js';
import { POLICIES } from './policy.js';
import { parsePolicyObject, type PolicyObject } from './policy-object.js';

export interface CacheOptions {
  readonly signal: AbortSignal;
  readonly backoff?: BackoffOptions;
}

/** What the controller keeps in memory of the cluster. */
export class FleetCaches {
  readonly nodes: WatchCache<Labels>;
  readonly namespaces: WatchCache<Labels>;
  readonly profiles: WatchCache<NodeProfile>;
  readonly policies: WatchCache<PolicyObject>;
  readonly baselines: WatchCache<BaselineObject>;
  readonly vmis: WatchCache<FleetVmi>;

  constructor(client: KubeClient, options: CacheOptions) {
    const cache = <T>(type: ResourceType, parse: (object: KubeObject) => T | undefined) =>
      new WatchCache(client, type, { ...options, parse });
    const labels = ({ metadata }: KubeObject): Labels => metadata.labels ?? {};
    this.nodes = cache(NODES, labels);
    this.namespaces = cache(NAMESPACES, labels);
    this.profiles = cache(NODE_PROFILES, parseNodeProfile);
    this.policies = cache(POLICIES, parsePolicyObject);
    this.baselines = cache(BASELINES, parseBaseline);
    this.vmis = cache(VMIS, parseFleetVmi);
  }

  /** Told when something changed that a plan looks at: not by heartbeats. @returns a function that ends it */
  onChange(listener: () => void): () => void {
    const follow = <T>(cache: WatchCache<T>, identity: (value: T) => string) =>
      cache.onChange(({ key, before, after }) => {
        const same = before !== undefined && after !== undefined && identity(before) === identity(after);
        if (key === undefined || !same) listener();
      });
    const stops = [
      follow(this.nodes, JSON.stringify),
      follow(this.namespaces, JSON.stringify),
      follow(this.profiles, identityOfProfile),
      follow(this.policies, JSON.stringify),
      follow(this.baselines, JSON.stringify),
      follow(this.vmis, JSON.stringify),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  async run(): Promise<void> {
    const { nodes, namespaces, profiles, policies, baselines, vmis } = this;
    await Promise.all([nodes, namespaces, profiles, policies, baselines, vmis].map((cache) => cache.run()));
  }

  /** Names of what is not known yet. A cluster without KubeVirt has no VMIs, which is an answer. */
  missing(): string[] {
    const { nodes, namespaces, profiles, policies, baselines } = this;
    const wanted = { nodes, namespaces, profiles, policies, baselines };
    const missing = Object.entries(wanted).flatMap(([name, cache]) => (cache.synced ? [] : [name]));
    const noKubevirt = this.vmis.lastError?.code === 'KUBE_NOT_FOUND';
    return this.vmis.synced || noKubevirt ? missing : [...missing, 'vmis'];
  }
}

/** Renewals alone change nothing; a profile that grows stale is found by the regular look. */
function identityOfProfile({ uid, annotation, devices }: NodeProfile): string {
  return JSON.stringify([uid, annotation, [...devices.values()]]);
}
