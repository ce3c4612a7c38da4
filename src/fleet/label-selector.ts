import * as z from 'zod';

/** metav1.LabelSelector. An empty one selects everything; all its parts must hold. */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined;
  readonly matchExpressions?: readonly LabelRequirement[] | undefined;
}

export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[] | undefined;
}

export const labelSelector = z.object({
  matchLabels: z.record(z.string(), z.string()).optional(),
  matchExpressions: z
    .array(
      z.object({
        key: z.string(),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).optional(),
      }),
    )
    .optional(),
});

export type Labels = Readonly<Record<string, string>>;

export function selects(selector: LabelSelector, labels: Labels): boolean {
  return mismatch(selector, labels) === undefined;
}

/** The first part of the selector that does not hold, in words; undefined where all hold. */
export function mismatch(
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  labels: Labels,
): string | undefined {
  for (const [key, value] of Object.entries(matchLabels)) {
    const own = valueOf(labels, key);
    if (own !== value) return `label ${key} is ${shown(own)}, not ${value}`;
  }
  for (const requirement of matchExpressions) {
    if (!holds(requirement, valueOf(labels, requirement.key))) return requirementText(requirement, labels);
  }
  return undefined;
}

/** NotIn holds where the label is missing (k8s.io/apimachinery pkg/labels, Requirement.Matches). */
function holds({ operator, values = [] }: LabelRequirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

function requirementText({ key, operator, values = [] }: LabelRequirement, labels: Labels): string {
  const wanted = values.length === 0 ? operator : `${operator} ${values.join(', ')}`;
  return `label ${key} is ${shown(valueOf(labels, key))}, wanted: ${wanted}`;
}

/** A key may be a word that every object inherits, such as "constructor". */
function valueOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function shown(value: string | undefined): string {
  return value === undefined ? 'missing' : JSON.stringify(value);
}
