import { VMIS } from '../cluster/core-resources.js';
import type { KubeClient } from '../cluster/kube-client.js';
import { malformedAnswer } from '../cluster/kube-error.js';
import { nodeProfileSpec } from '../cluster/node-profile-schema.js';
import { NODE_PROFILES } from '../cluster/node-profile.js';
import { keyOf } from '../cluster/resource.js';
import { VsmmuError } from '../errors.js';
import type { FleetCaches } from '../fleet/fleet-caches.js';
import { DEFAULT_RESOURCES } from '../kubevirt/vmi-create.js';
import { parseVmi } from '../kubevirt/vmi.js';
import { overviewOf } from './overview.js';
import type { PageSource } from './page-server.js';
import { pageVmOf } from './page-vm.js';

/** The page's data out of the controller's caches; evidence and a VM's devices are fetched when they are asked for. */
export function clusterSource(
  client: KubeClient,
  caches: FleetCaches,
  now: () => number = Date.now,
): PageSource {
  return {
    overview: () =>
      overviewOf({
        profiles: caches.profiles.values(),
        baselines: caches.baselines.values(),
        vmis: caches.vmis.values(),
        policies: caches.policies.size,
        now: now(),
      }),
    node: async (name) => {
      const object = await client.get(NODE_PROFILES, { name });
      const spec = nodeProfileSpec.safeParse(object['spec']);
      if (!spec.success) throw malformedAnswer(`NodeProfile ${name}`, 'does not follow its schema');
      const vms = [...caches.vmis.values()].filter(({ node }) => node === name).map(({ key }) => key);
      return { spec: spec.data, vms: vms.toSorted() };
    },
    vm: async (namespace, name) => {
      const object = await client.get(VMIS, { namespace, name });
      const vmi = parseVmi(object);
      const profile = caches.profiles.get(vmi.nodeName ?? '');
      if (profile === undefined)
        throw new VsmmuError('KUBE_NOT_FOUND', 'its node has no profile', {
          place: `VirtualMachineInstance ${keyOf({ namespace, name })}`,
          remedy: 'Run the agent on the node.',
        });
      const labels = { vmi: object.metadata.labels ?? {}, namespace: caches.namespaces.get(namespace) ?? {} };
      return pageVmOf(vmi, labels, profile, {
        policies: [...caches.policies.values()],
        baselines: new Map([...caches.baselines.values()].map((one) => [one.name, one.status])),
        resources: DEFAULT_RESOURCES,
      });
    },
  };
}
