import type { NodeProfile } from '../cluster/node-profile.js';
import type { NodeLookup, NodeValues } from '../kubevirt/vmi-handover.js';

/** The part of a watch cache that a review needs. */
export interface ProfileCache {
  get(node: string): NodeProfile | undefined;
  /** Objects that are there but can't be read, with why. */
  unusable(): readonly { readonly key: string; readonly error: unknown }[];
}

export interface FreshnessOptions {
  /** How long an agent may be silent before its word counts no more; 0: for ever. */
  readonly maxAgeMs: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** Looks a node's values up in memory: no review waits for the API server. */
export function nodeLookup(
  profiles: ProfileCache,
  { maxAgeMs, now = Date.now }: FreshnessOptions,
): NodeLookup {
  return (node, version): NodeValues => {
    const profile = profiles.get(node);
    if (profile === undefined) return unknown(missing(profiles, node));
    const { renewedAt } = profile;
    const known = (): NodeValues => ({
      known: true,
      annotation: version === 1 ? profile.annotation : profile.annotationWithModels(),
    });
    if (maxAgeMs === 0) return known();
    if (renewedAt === undefined)
      return unknown(`the agent of node ${node} has not finished its first report`);
    const age = now() - renewedAt;
    if (age <= maxAgeMs) return known();
    return unknown(`the agent of node ${node} has been silent for ${Math.round(age / 60_000)} minutes`);
  };
}

function missing(profiles: ProfileCache, node: string): string {
  return profiles.unusable().some(({ key }) => key === node)
    ? `the NodeProfile of node ${node} cannot be read (agent and webhook of different releases?)`
    : `node ${node} has no NodeProfile (does the agent run there?)`;
}

function unknown(because: string): NodeValues {
  return { known: false, because };
}
