import * as z from '../lean-schema.js';
import { jsonPointer, type JsonPatchOperation } from './json-patch.js';
import type { Requirement } from './require.js';

export const expression = z.object({
  key: z.string(),
  operator: z.string(),
  values: z.nullish(z.array(z.string())),
});
const required = z.object({
  nodeSelectorTerms: z.array(
    z.object({
      matchExpressions: z.nullish(z.array(expression)),
      matchFields: z.nullish(z.array(z.unknown())),
    }),
  ),
});

/** Where a VMI says on which nodes it may run (core/v1 Affinity); only what is needed to add to it. */
export const affinitySchema = z.nullish(
  z.object({
    nodeAffinity: z.nullish(
      z.object({ requiredDuringSchedulingIgnoredDuringExecution: z.nullish(required) }),
    ),
  }),
);
export type Affinity = z.output<typeof affinitySchema>;

const REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution';

/**
 * The least operations that keep a VMI to nodes that meet the requirements. Terms are alternatives, so each of a
 * user's own gets the expressions; a term that is empty matches no node, and stays empty for that.
 */
export function requireNodes(affinity: Affinity, requirements: readonly Requirement[]): JsonPatchOperation[] {
  const wanted = requirements.map(({ label, operator, value }) => ({
    key: label,
    operator,
    values: [value],
  }));
  if (wanted.length === 0) return [];
  const terms = affinity?.nodeAffinity?.[REQUIRED]?.nodeSelectorTerms;
  const fresh = { nodeSelectorTerms: [{ matchExpressions: wanted }] };
  if (affinity == null) return [add(['affinity'], { nodeAffinity: { [REQUIRED]: fresh } })];
  if (affinity.nodeAffinity == null) return [add(['affinity', 'nodeAffinity'], { [REQUIRED]: fresh })];
  if (terms === undefined) return [add(['affinity', 'nodeAffinity', REQUIRED], fresh)];
  return terms.flatMap(({ matchExpressions, matchFields }, index) => {
    const present = matchExpressions ?? [];
    if (present.length === 0 && (matchFields ?? []).length === 0) return [];
    const missing = wanted.filter((one) => !present.some((other) => isSame(one, other)));
    const at = ['affinity', 'nodeAffinity', REQUIRED, 'nodeSelectorTerms', `${index}`, 'matchExpressions'];
    if (matchExpressions == null) return [add(at, missing)];
    return missing.map((one) => add([...at, '-'], one));
  });
}

function isSame(one: z.output<typeof expression>, other: z.output<typeof expression>): boolean {
  const values = ({ values: list }: z.output<typeof expression>) => (list ?? []).join('\n');
  return one.key === other.key && one.operator === other.operator && values(one) === values(other);
}

function add(path: readonly string[], value: unknown): JsonPatchOperation {
  return { op: 'add', path: jsonPointer('spec', ...path), value };
}
