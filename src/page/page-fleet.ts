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
  readonly leavingOut: readonly { readonly node: string; readonly gains: readonly string[] }[];
  /** Why it is held back; '' where it isn't. */
  readonly heldBack: string;
}

/** A VM on a node, with what its vSMMU asks for and gets there. */
export interface PageVm {
  readonly key: string;
  readonly served: string;
  readonly settings: readonly { readonly name: string; readonly value: string; readonly from: string }[];
  readonly smmus: readonly {
    readonly smmu: string;
    readonly before: string;
    readonly after: string;
    readonly errors: readonly string[];
  }[];
}
