import type { NodeProfileSpec } from '../cluster/node-profile-schema.js';
import type { NodeProfile } from '../cluster/node-profile.js';
import type { BaselineStatus } from './baseline-object.js';
import type { Labels } from './label-selector.js';
import type { Policy } from './policy.js';

export interface FleetNode {
  readonly profile: NodeProfile;
  readonly spec: NodeProfileSpec;
  readonly labels: Labels;
  /** Extended resources that the kubelet has, by name; undefined: not known. */
  readonly capacity?: ReadonlyMap<string, number> | undefined;
}

/** All that is known of a fleet at one moment, from a cluster or from files. */
export interface FleetView {
  readonly nodes: readonly FleetNode[];
  readonly policies: readonly Policy[];
  readonly baselines: ReadonlyMap<string, BaselineStatus>;
  /** Labels of namespaces. */
  readonly namespaces: ReadonlyMap<string, Labels>;
}
