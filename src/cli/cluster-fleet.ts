import * as z from 'zod';

import type { KubeClient } from '../cluster/kube-client.js';
import { isKubeError } from '../cluster/kube-error.js';
import { nodeProfileSpec } from '../cluster/node-profile-schema.js';
import { NODE_PROFILES, parseNodeProfile } from '../cluster/node-profile.js';
import type { KubeObject, ResourceType } from '../cluster/resource.js';
import { VsmmuError } from '../errors.js';
import { BASELINES, parseBaseline } from '../fleet/baseline-object.js';
import { NAMESPACES, NODES } from '../cluster/core-resources.js';
import { parsePolicy, POLICIES } from '../fleet/policy.js';
import type { FleetNode, FleetView } from '../fleet/view.js';

/** Reads a fleet once. A profile that can't be read is told on `warn`, and hides no other. */
export async function clusterFleet(client: KubeClient, warn: (text: string) => void): Promise<FleetView> {
  const [profiles, nodes, policies, baselines, namespaces] = await Promise.all([
    listOf(client, NODE_PROFILES),
    client.listAll(NODES),
    listOf(client, POLICIES),
    listOf(client, BASELINES),
    client.listAll(NAMESPACES),
  ]);
  const byName = new Map(nodes.map((node) => [node.metadata.name, node]));
  const usable = <T>(objects: readonly KubeObject[], parse: (object: KubeObject) => T): T[] =>
    objects.flatMap((object) => {
      try {
        return [parse(object)];
      } catch (error) {
        if (!(error instanceof VsmmuError)) throw error;
        warn(`warning[${error.code}] at ${error.place ?? object.metadata.name}: ${error.message}`);
        return [];
      }
    });
  return {
    nodes: usable(profiles, (object): FleetNode => {
      const profile = parseNodeProfile(object);
      const spec = nodeProfileSpec.parse(object['spec']);
      const node = byName.get(profile.node);
      return { profile, spec, labels: node?.metadata.labels ?? {}, capacity: node && capacityOf(node) };
    }),
    policies: usable(policies, parsePolicy),
    baselines: new Map(usable(baselines, parseBaseline).map(({ name, status }) => [name, status])),
    namespaces: new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
  };
}

const nodeStatus = z.object({ capacity: z.record(z.string(), z.string()) });

/** undefined where no kubelet has said anything yet. Extended resources are whole numbers. */
function capacityOf(node: KubeObject): ReadonlyMap<string, number> | undefined {
  const status = nodeStatus.safeParse(node['status']);
  if (!status.success) return undefined;
  const extended = Object.entries(status.data.capacity).filter(([name]) => name.includes('/'));
  return new Map(extended.map(([name, count]) => [name, Number(count)]));
}

/** @throws VsmmuError KUBE_NOT_FOUND that says what to install */
async function listOf(client: KubeClient, type: ResourceType): Promise<KubeObject[]> {
  try {
    return await client.listAll(type);
  } catch (error) {
    if (!isKubeError(error, 'KUBE_NOT_FOUND')) throw error;
    throw new VsmmuError('KUBE_NOT_FOUND', `the cluster has no ${type.plural}.${type.group}`, {
      place: `GET ${type.plural}.${type.group}`,
      remedy: 'Install the chart of vsmmu, which brings its CustomResourceDefinitions.',
      cause: error,
    });
  }
}
