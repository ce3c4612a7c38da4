import type * as z from 'zod';

import { expression } from './node-affinity.js';
import type { Vmi } from './vmi.js';

/** A node as Kubernetes selects by: its name and labels. */
export interface SelectableNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

type Required = NonNullable<
  NonNullable<NonNullable<Vmi['affinity']>['nodeAffinity']>['requiredDuringSchedulingIgnoredDuringExecution']
>;
type Expression = z.output<typeof expression>;

/**
 * Why a VMI's own nodeSelector and required node affinity keep it off a node, in words; undefined where they let it
 * there. As the scheduler reads them (k8s.io/component-helpers, scheduling/corev1/nodeaffinity): terms are
 * alternatives, the expressions of a term hold together, an empty term matches nothing.
 */
export function notSelected({ nodeSelector, affinity }: Vmi, node: SelectableNode): string | undefined {
  for (const [key, value] of Object.entries(nodeSelector ?? {}))
    if (node.labels[key] !== value)
      return `nodeSelector: label ${key} is ${shown(node.labels[key])}, not ${JSON.stringify(value)}`;
  const terms = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined) return undefined;
  const reasons = terms.map((term) => termMismatch(term, node));
  return reasons.includes(undefined) ? undefined : `node affinity: ${reasons.join('; or ')}`;
}

function termMismatch(
  { matchExpressions, matchFields }: Required['nodeSelectorTerms'][number],
  { name, labels }: SelectableNode,
): string | undefined {
  const expressions = matchExpressions ?? [];
  const fields = matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return 'a term is empty, which matches no node';
  const label = expressions.find((one) => !holds(one, labels[one.key]));
  if (label !== undefined) return expressionText('label', label, labels[label.key]);
  // metadata.name is the one field that the API server admits.
  for (const json of fields) {
    const field = expression.safeParse(json);
    if (!field.success) return 'a field cannot be read, which matches no node';
    if (!holds(field.data, name)) return expressionText('field', field.data, name);
  }
  return undefined;
}

function holds({ operator, values }: Expression, value: string | undefined): boolean {
  const list = values ?? [];
  switch (operator) {
    case 'In':
      return value !== undefined && list.includes(value);
    case 'NotIn':
      return value === undefined || !list.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
    case 'Lt':
      return compares(operator, value, list[0]);
    default:
      return false;
  }
}

function compares(operator: 'Gt' | 'Lt', value: string | undefined, bound: string | undefined): boolean {
  const whole = /^-?\d+$/;
  if (value === undefined || bound === undefined || !whole.test(value) || !whole.test(bound)) return false;
  return operator === 'Gt' ? BigInt(value) > BigInt(bound) : BigInt(value) < BigInt(bound);
}

function expressionText(
  what: string,
  { key, operator, values }: Expression,
  value: string | undefined,
): string {
  return `${what} ${key} is ${shown(value)}, wanted: ${[operator, ...(values ?? [])].join(' ')}`;
}

function shown(value: string | undefined): string {
  return value === undefined ? 'missing' : JSON.stringify(value);
}
