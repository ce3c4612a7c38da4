import {
  BASELINE_DEVICES_ANNOTATION,
  HOOK_SIDECARS_ANNOTATION,
  REQUIRE_ANNOTATION,
  RESOLVED_ANNOTATION,
  SET_ANNOTATION,
} from './annotations.js';
import { type HookContainer, withHookSidecar } from './hook-sidecars.js';
import { jsonPointer, type JsonPatchOperation, patchStringMap } from './json-patch.js';
import { requireNodes } from './node-affinity.js';
import { parseRequire, type Requirement } from './require.js';
import type { Vmi } from './vmi.js';

/**
 * Which extended resources are vsmmu's. An entry that ends in "/" stands for every resource of that domain,
 * any other for the resource of exactly that name.
 */
export type ResourceSelection = readonly string[];

export const DEFAULT_RESOURCES: ResourceSelection = ['vsmmu.io/'];

export function selectsResource(selection: ResourceSelection, deviceName: string): boolean {
  return selection.some((entry) =>
    entry.endsWith('/') ? deviceName.startsWith(entry) : deviceName === entry,
  );
}

/** Does the VMI ask to be served: by a device of ours, or by stating requirements? */
export function asksForVsmmu(vmi: Vmi, selection: ResourceSelection): boolean {
  return (
    vmi.annotations?.[REQUIRE_ANNOTATION] !== undefined ||
    vmi.devices.some(({ deviceName }) => deviceName !== undefined && selectsResource(selection, deviceName))
  );
}

/** What policies of the cluster add for a VMI (src/fleet/policy-for-vmi.ts). */
export interface DecidedForVmi {
  readonly serve: boolean;
  readonly set: string | undefined;
  /** What its baseline says of devices (annotation vsmmu.io/baseline-devices). */
  readonly baselineDevices: string | undefined;
  readonly requirements: readonly Requirement[];
  readonly hookArgs: readonly string[];
}

const ANNOTATIONS = jsonPointer('metadata', 'annotations');
const NOTHING_DECIDED: DecidedForVmi = {
  serve: true,
  set: undefined,
  baselineDevices: undefined,
  requirements: [],
  hookArgs: [],
};

/**
 * What a VMI gets when it is created: the hook sidecar, if it asks for our devices, and an affinity to nodes that meet
 * what it requires and what policies decided; and no annotation
 * `vsmmu.io/resolved` of its own making, whoever it is, because a hook believes that annotation.
 * Patching a patched VMI patches nothing.
 *
 * @param byClaim it asks for our devices by a ResourceClaim, which nothing in the VMI itself tells: it gets an empty
 *   `vsmmu.io/require`, by which all that come later know it
 * @throws VsmmuError HOOK_SIDECARS_MALFORMED, REQUIRE_MALFORMED
 */
export function patchCreatedVmi(
  vmi: Vmi,
  selection: ResourceSelection,
  hook: HookContainer,
  decided: DecidedForVmi = NOTHING_DECIDED,
  byClaim = false,
): JsonPatchOperation[] {
  const annotations = vmi.annotations ?? {};
  if (!(byClaim || asksForVsmmu(vmi, selection)) || !decided.serve)
    return patchStringMap(ANNOTATIONS, vmi.annotations, { [RESOLVED_ANNOTATION]: undefined });
  const required = [...parseRequire(annotations[REQUIRE_ANNOTATION] ?? ''), ...decided.requirements];
  return [
    ...patchStringMap(ANNOTATIONS, vmi.annotations, {
      [RESOLVED_ANNOTATION]: undefined,
      [BASELINE_DEVICES_ANNOTATION]: decided.baselineDevices,
      [HOOK_SIDECARS_ANNOTATION]: withHookSidecar(annotations[HOOK_SIDECARS_ANNOTATION], {
        ...hook,
        args: [...(hook.args ?? []), ...decided.hookArgs],
      }),
      ...(decided.set === undefined ? {} : { [SET_ANNOTATION]: decided.set }),
      ...(byClaim ? { [REQUIRE_ANNOTATION]: annotations[REQUIRE_ANNOTATION] ?? '' } : {}),
    }),
    ...(vmi.hasSpec ? requireNodes(vmi.affinity, required) : []),
  ];
}
