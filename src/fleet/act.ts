import { randomBytes } from 'node:crypto';

import type { KubeClient } from '../cluster/kube-client.js';
import { isKubeError } from '../cluster/kube-error.js';
import { NODE_PROFILES } from '../cluster/node-profile.js';
import { apiVersionOf } from '../cluster/resource.js';
import { BASELINES } from './baseline-object.js';
import { EVENTS, NODES } from '../cluster/core-resources.js';
import type { Action } from './plan.js';
import { POLICIES } from './policy.js';

const NOTE_MAX = 1024;

export interface ActOptions {
  /** Name of this replica, in events. */
  readonly identity: string;
  readonly signal: AbortSignal;
}

/** @throws KubeError KUBE_CONFLICT or KUBE_NOT_FOUND where the cluster has changed since the plan */
export async function act(
  client: KubeClient,
  action: Action,
  { identity, signal }: ActOptions,
): Promise<void> {
  switch (action.kind) {
    case 'label-node': {
      const patch = { metadata: { labels: action.patch } };
      await client.patch(NODES, { name: action.node }, { kind: 'merge', patch }, { signal });
      return;
    }
    case 'write-baseline': {
      const { name, resourceVersion } = action.object;
      // A merge patch keeps what it does not name, so that an absent value must be written as null.
      const patch = { metadata: { resourceVersion }, status: { vsmmu: null, ...action.status } };
      const options = { subresource: 'status', signal };
      await client.patch(BASELINES, { name }, { kind: 'merge', patch }, options);
      return;
    }
    case 'write-policy': {
      const { name, resourceVersion } = action.object;
      const patch = { metadata: { resourceVersion }, status: action.status };
      await client.patch(POLICIES, { name }, { kind: 'merge', patch }, { subresource: 'status', signal });
      return;
    }
    case 'delete-profile':
      // Our view of the nodes may be older than the profile of a new one.
      if (await exists(client, action.node, signal)) return;
      await client.delete(NODE_PROFILES, { name: action.node }, { uid: action.uid, signal });
      return;
    case 'event':
      await client.create(EVENTS, eventOf(action, identity), { signal });
  }
}

async function exists(client: KubeClient, node: string, signal: AbortSignal): Promise<boolean> {
  try {
    await client.get(NODES, { name: node }, signal);
    return true;
  } catch (error) {
    if (isKubeError(error, 'KUBE_NOT_FOUND')) return false;
    throw error;
  }
}

/** events.k8s.io/v1. Events about cluster-wide objects live in the namespace default. */
function eventOf({ regarding, reason, note }: Extract<Action, { kind: 'event' }>, identity: string) {
  const apiVersion = regarding.kind === 'Node' ? 'v1' : apiVersionOf(BASELINES);
  return {
    apiVersion: apiVersionOf(EVENTS),
    kind: EVENTS.kind,
    metadata: { name: `${regarding.name}.${randomBytes(8).toString('hex')}`, namespace: 'default' },
    eventTime: new Date().toISOString().replace('Z', '000Z'),
    reportingController: 'vsmmu.io/controller',
    reportingInstance: identity,
    action: 'Reconcile',
    reason,
    type: 'Warning',
    regarding: { apiVersion, ...regarding },
    note: note.length <= NOTE_MAX ? note : `${note.slice(0, NOTE_MAX - 1)}…`,
  };
}
