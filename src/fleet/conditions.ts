import * as z from 'zod';

/** metav1.Condition. */
export const conditionSchema = z.object({
  type: z.string(),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string(),
  message: z.string(),
  lastTransitionTime: z.string(),
  observedGeneration: z.int().optional(),
});
export type Condition = z.output<typeof conditionSchema>;

export type NewCondition = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

interface WithConditions {
  readonly conditions: readonly Condition[];
}

/** Conditions as they are written: one that stays as it was keeps its time. @param now ISO 8601 */
export function settled(
  next: readonly NewCondition[],
  before: readonly Condition[],
  { now, generation }: { readonly now: string; readonly generation: number | undefined },
): Condition[] {
  return next.map((condition) => {
    const old = before.find(({ type }) => type === condition.type);
    return {
      ...condition,
      lastTransitionTime: old?.status === condition.status ? old.lastTransitionTime : now,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  });
}

/** Everything but times: a status is written only when it says something else. */
export function sameStatus<T extends WithConditions>(a: T, b: T): boolean {
  return canonical(a) === canonical(b);
}

function canonical(status: WithConditions): string {
  const conditions = status.conditions.map((condition) => ({ ...condition, lastTransitionTime: '' }));
  return JSON.stringify(sorted({ ...status, conditions }));
}

/** Key order is the writer's; two equal statuses may differ in it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}
