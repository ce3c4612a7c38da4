import * as z from 'zod';

import { keyOf, type KubeObject } from '../cluster/resource.js';
import { REQUIRE_ANNOTATION } from '../kubevirt/annotations.js';
import { BASELINE_ANNOTATION } from './effective-policy.js';
import type { Labels } from './label-selector.js';

/** What the controller keeps of a VMI: little, because there are thousands. */
export interface FleetVmi {
  /** "shop/db-1" */
  readonly key: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly resources: readonly string[];
  readonly baseline: string | undefined;
  readonly node: string | undefined;
}

const requests = z
  .array(z.object({ deviceName: z.string().nullish() }))
  .nullish()
  .transform((list) => (list ?? []).flatMap(({ deviceName }) => deviceName ?? []));
const schema = z.object({
  spec: z
    .object({
      domain: z.object({ devices: z.object({ gpus: requests, hostDevices: requests }).nullish() }).nullish(),
    })
    .nullish(),
  status: z.object({ phase: z.string().nullish(), nodeName: z.string().nullish() }).nullish(),
});

/** Phases in which a VMI has no domain any more (kubevirt.io/api/core/v1, VirtualMachineInstancePhase). */
const FINAL = new Set(['Succeeded', 'Failed']);

function resourcesOf(spec: z.output<typeof schema>['spec']): readonly string[] {
  const { gpus = [], hostDevices = [] } = spec?.domain?.devices ?? {};
  return [...gpus, ...hostDevices];
}

/**
 * @returns undefined for a VMI that has ended, or asks for no device: neither can be under a baseline. One that asks by
 *   ResourceClaims names no resource; the webhook marks it by vsmmu.io/require
 */
export function parseFleetVmi(object: KubeObject): FleetVmi | undefined {
  const parsed = schema.safeParse(object);
  if (!parsed.success) return undefined;
  const { spec, status } = parsed.data;
  if (FINAL.has(status?.phase ?? '')) return undefined;
  const { labels = {}, annotations = {}, namespace = '' } = object.metadata;
  const resources = resourcesOf(spec);
  if (resources.length === 0 && annotations[REQUIRE_ANNOTATION] === undefined) return undefined;
  return {
    key: keyOf(object.metadata),
    namespace,
    labels,
    resources,
    baseline: annotations[BASELINE_ANNOTATION],
    node: status?.nodeName ?? undefined,
  };
}
