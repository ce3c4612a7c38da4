/** One line of an edit script; `keep` is on both sides. */
export interface DiffLine {
  readonly kind: 'keep' | 'remove' | 'add';
  /** With its end, so that a missing last newline is a difference as well. */
  readonly line: string;
}

/**
 * The shortest edit script (E. Myers, "An O(ND) Difference Algorithm", 1986), on what is left between the common
 * first and last lines.
 */
export function lineDiff(before: string, after: string): DiffLine[] {
  return script(lines(before), lines(after));
}

function script(before: readonly string[], after: readonly string[]): DiffLine[] {
  const steps = (kind: DiffLine['kind'], part: readonly string[]) =>
    part.map((line): DiffLine => ({ kind, line }));
  let head = 0;
  while (head < Math.min(before.length, after.length) && before[head] === after[head]) head++;
  let tail = 0;
  const rest = Math.min(before.length, after.length) - head;
  while (tail < rest && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  return [
    ...steps('keep', before.slice(0, head)),
    ...shortest(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...steps('keep', before.slice(before.length - tail)),
  ];
}

/** Furthest point on each diagonal (k = x - y), one map for each number of edits. */
type Frontier = ReadonlyMap<number, number>;

function shortest(before: readonly string[], after: readonly string[]): DiffLine[] {
  const trace: Frontier[] = [];
  let frontier: Frontier = new Map([[1, 0]]);
  for (let edits = 0; ; edits++) {
    trace.push(frontier);
    const next = new Map(frontier);
    for (let k = -edits; k <= edits; k += 2) {
      let x = furthest(frontier, k, edits);
      while (x < before.length && x - k < after.length && before[x] === after[x - k]) x++;
      next.set(k, x);
      if (x >= before.length && x - k >= after.length) return walkBack(trace, before, after);
    }
    frontier = next;
  }
}

/** Does the path reach diagonal k by an added line, from k + 1? Otherwise by a removed one, from k - 1. */
function isDown(frontier: Frontier, k: number, edits: number): boolean {
  if (k === -edits) return true;
  return k !== edits && (frontier.get(k - 1) ?? -1) < (frontier.get(k + 1) ?? -1);
}

function furthest(frontier: Frontier, k: number, edits: number): number {
  return isDown(frontier, k, edits) ? (frontier.get(k + 1) ?? 0) : (frontier.get(k - 1) ?? 0) + 1;
}

function walkBack(
  trace: readonly Frontier[],
  before: readonly string[],
  after: readonly string[],
): DiffLine[] {
  const steps: DiffLine[] = [];
  let x = before.length;
  let y = after.length;
  for (const [edits, frontier] of [...trace.entries()].reverse()) {
    const k = x - y;
    const reached = furthest(frontier, k, edits);
    // The point where the diagonal was entered; all behind it is common.
    while (x > reached) {
      steps.push({ kind: 'keep', line: before[--x] ?? '' });
      y--;
    }
    if (edits === 0) break;
    if (isDown(frontier, k, edits)) steps.push({ kind: 'add', line: after[--y] ?? '' });
    else steps.push({ kind: 'remove', line: before[--x] ?? '' });
  }
  return steps.reverse();
}

function lines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}
