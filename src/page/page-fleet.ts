import type { YesNoUnknown } from '../smmu/answer.js';
import type { OnOff } from '../smmu/properties.js';

/** What the page's overview shows of the fleet; small, because a thousand nodes are sent at once. */
export interface PageFleet {
  readonly nodes: readonly PageNode[];
  readonly baselines: readonly PageBaseline[];
  readonly policies: number;
}

export interface PageValues {
  readonly ats: OnOff;
  readonly ril: OnOff;
  readonly ssidsize: number;
  readonly oas: number;
  readonly cmdqv: OnOff;
}

export interface PageNode {
  readonly name: string;
  /** The least of its usable SMMUs; null where none can be accelerated. */
  readonly values: PageValues | null;
  /** Why `values` is null. */
  readonly because: string;
  readonly smmus: number;
  /** One a device, by address. */
  readonly ats: readonly YesNoUnknown[];
  readonly ready: number;
  readonly stale: boolean;
  /** Names of baselines that it is a member of. */
  readonly baselines: readonly string[];
  /** Running VMs with devices. */
  readonly vms: number;
}

export interface PageLimit {
  readonly property: keyof PageValues;
  readonly value: OnOff | number;
  readonly limitedBy: readonly string[];
}

export interface PageBaseline {
  readonly name: string;
  readonly limits: readonly PageLimit[];
  readonly members: number;
  readonly excluded: readonly { readonly name: string; readonly reason: string }[];
  readonly leavingOut: readonly {
    readonly node: string;
    readonly gains: readonly string[];
    readonly losesModels: readonly string[];
  }[];
  /** Why it is held back; '' where it isn't. */
  readonly heldBack: string;
}

/** A VM on a node: what decides about it, and what the hook makes of its domain. */
export interface PageVm {
  readonly key: string;
  readonly node: string;
  readonly served: string;
  readonly settings: readonly { readonly name: string; readonly value: string; readonly from: string }[];
  /** null where vsmmu leaves it alone or the node has none of its devices. */
  readonly domain: PageDomain | null;
}

export interface PageDomain {
  /** Addresses of the devices that stand for the VM's own, which the API does not tell. */
  readonly devices: readonly string[];
  /** Requests for which the node has no device. */
  readonly missing: number;
  readonly lines: readonly { readonly kind: 'keep' | 'remove' | 'add'; readonly text: string }[];
  /** Why the hook would refuse the domain; then there are no lines. */
  readonly errors: readonly string[];
}
