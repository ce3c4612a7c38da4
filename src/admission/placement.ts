import type { NodeProfile } from '../cluster/node-profile.js';
import { fitNode } from '../fleet/node-fit.js';
import { labelsOf } from '../fleet/node-labels.js';
import { REQUIRE_ANNOTATION } from '../kubevirt/annotations.js';
import { parseRequire, unmet } from '../kubevirt/require.js';
import { askedByUser, wishesOfVmi } from '../kubevirt/set-annotation.js';
import { type ResourceSelection, selectsResource } from '../kubevirt/vmi-create.js';
import type { Vmi } from '../kubevirt/vmi.js';
import { ALL_AUTO } from '../smmu/properties.js';
import type { FieldCause } from './review.js';

/**
 * Why no node could start a VMI, node by node; empty where one could, or where nothing can be said: a cluster whose
 * agents have not reported yet, a resource that is named by a configuration. A lack of free devices is no reason:
 * the scheduler waits for them, but no waiting makes an SMMU able to do what it can't.
 *
 * @throws VsmmuError WISH_MALFORMED where annotation vsmmu.io/set can't be read
 */
export function placementReasons(
  vmi: Vmi,
  selection: ResourceSelection,
  profiles: Iterable<NodeProfile>,
): readonly string[] {
  const resources = vmi.devices.flatMap(({ deviceName }) =>
    deviceName !== undefined && selectsResource(selection, deviceName) ? [deviceName] : [],
  );
  const required = parseRequire(vmi.annotations?.[REQUIRE_ANNOTATION] ?? '');
  const asked = { ...ALL_AUTO, ...askedByUser(wishesOfVmi(vmi)) };
  const reasons: string[] = [];
  for (const profile of profiles) {
    const lacking = unmet(required, labelsOf(profile, [], false));
    if (lacking.length > 0) {
      reasons.push(`node ${profile.node} lacks ${lacking.join(', ')}`);
      continue;
    }
    const { fits, smmus } = fitNode(profile, { resources, asked });
    const [outcome] = smmus;
    // It has no such device now: nothing is known against it, and required features it has.
    if (outcome === undefined && required.length > 0) return [];
    if (outcome === undefined) continue;
    if (fits !== 'no' || smmus.some(({ errors }) => errors.length === 0)) return [];
    reasons.push(`node ${profile.node}: ${outcome.errors[0] ?? ''}`);
  }
  return reasons;
}

/** Why no node could start a VMI, node by node; empty where one could. */
export type Placement = (vmi: Vmi) => readonly string[];

/** A refusal names no more nodes than a person reads. */
const NODES_TOLD = 5;

export function unplaceable(reasons: readonly string[]): FieldCause[] {
  if (reasons.length === 0) return [];
  const told = reasons.slice(0, NODES_TOLD).join('; ');
  const more = reasons.length > NODES_TOLD ? `; and ${reasons.length - NODES_TOLD} more nodes` : '';
  return [
    {
      reason: 'FieldValueNotSupported',
      field: 'spec.domain.devices',
      message: `no node could start this VM: ${told}${more}`,
    },
  ];
}
