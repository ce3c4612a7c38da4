import type { NodeProfileSpec, ProfileDevice } from '../cluster/node-profile-schema.js';
import type { NodeProfile } from '../cluster/node-profile.js';
import type { Bdf } from '../bdf.js';
import type { BaselineHost } from '../smmu/baseline.js';
import type { SmmuFeatures } from '../smmu/features.js';

/**
 * A node as the baseline sees it: only what a VM could be given counts, which is devices that are ready and the SMMUs
 * in front of them.
 */
export function baselineHostOf(profile: Pick<NodeProfile, 'node' | 'devices' | 'features'>): BaselineHost {
  const ready = [...profile.devices].filter(([, device]) => device.ready);
  return {
    name: profile.node,
    smmus: distinctSmmus(profile, ready),
    devices: ready.map(([, device]) => ({ model: modelOf(device), effectiveAts: device.ats })),
  };
}

function distinctSmmus(
  { features }: Pick<NodeProfile, 'features'>,
  ready: readonly (readonly [Bdf, ProfileDevice])[],
): SmmuFeatures[] {
  // Devices behind one SMMU share one object (src/kubevirt/read-resolved.ts).
  return [...new Set(ready.flatMap(([bdf]) => features.devices.get(bdf)?.smmu ?? []))];
}

/** "10de:2941": what two nodes can have in common. */
export function modelOf({ vendor, device }: Pick<ProfileDevice, 'vendor' | 'device'>): string {
  return `${vendor ?? '?'}:${device ?? '?'}`;
}

/** The name that an agent without a naming configuration gives a device (src/kubelet/resource-name.ts). */
export function defaultResourceOf({
  vendor,
  device,
  ats,
}: NodeProfileSpec['devices'][number]): string | undefined {
  if (vendor === undefined || device === undefined) return undefined;
  return `vsmmu.io/${vendor}-${device}${ats === 'yes' ? '-ats' : ''}`;
}

/** Could an agent without a naming configuration have given the name? Any other is told by a configuration only. */
export function isDefaultResource(resource: string): boolean {
  return /^vsmmu\.io\/[0-9a-f]{4}-[0-9a-f]{4}(-ats)?$/.test(resource);
}
