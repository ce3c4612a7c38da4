import type { Bdf } from '../bdf.js';

export type Health = { readonly healthy: true } | { readonly healthy: false; readonly reason: string };

export const HEALTHY: Health = { healthy: true };

export function unhealthy(reason: string): Health {
  return { healthy: false, reason };
}

/** A device as the plugins see it. Its id towards the kubelet is the BDF: IOMMU group and cdev numbers change at reboot. */
export interface PluginDevice {
  readonly bdf: Bdf;
  readonly driver: string;
  readonly iommuGroup: number;
  /** Other members of the group. A container that has one of the group has the group. */
  readonly groupMates: readonly Bdf[];
  readonly smmu: string | undefined;
  /** undefined: the host has none to tell (-1), or does not say. Never 0 in its stead. */
  readonly numaNode: number | undefined;
  /** "pci0009:00" */
  readonly pcieRoot: string | undefined;
  readonly health: Health;
}
