/** One line of an edit script; `keep` is on both sides. */
interface Step {
  readonly kind: 'keep' | 'remove' | 'add';
  readonly line: string;
}

const CONTEXT = 3;

export interface DiffOptions {
  readonly from: string;
  readonly to: string;
  readonly color: boolean;
}

/** The difference of two texts as "diff -u" writes it; empty where there is none. */
export function unifiedDiff(before: string, after: string, { from, to, color }: DiffOptions): string {
  if (before === after) return '';
  const steps = script(lines(before), lines(after));
  const paint = painter(color);
  const out = [paint('header', `--- ${from}`), paint('header', `+++ ${to}`)];
  for (const [start, end] of hunks(steps)) {
    out.push(paint('hunk', hunkHeader(steps, start, end)));
    for (const { kind, line } of steps.slice(start, end)) out.push(...rendered(kind, line, paint));
  }
  return `${out.join('\n')}\n`;
}

/** Lines with their ends, so that a missing last newline is a difference as well. */
function lines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function rendered(kind: Step['kind'], line: string, paint: Painter): string[] {
  const sign = { keep: ' ', remove: '-', add: '+' }[kind];
  const bare = line.endsWith('\n') ? line.slice(0, -1) : line;
  const first = paint(kind, sign + bare);
  return bare === line ? [first, '\\ No newline at end of file'] : [first];
}

/**
 * The shortest edit script (E. Myers, "An O(ND) Difference Algorithm", 1986), on what is left between the common
 * first and last lines.
 */
function script(before: readonly string[], after: readonly string[]): Step[] {
  const steps = (kind: Step['kind'], part: readonly string[]) => part.map((line): Step => ({ kind, line }));
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

function shortest(before: readonly string[], after: readonly string[]): Step[] {
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

function walkBack(trace: readonly Frontier[], before: readonly string[], after: readonly string[]): Step[] {
  const steps: Step[] = [];
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

/** Ranges of steps that hold changes with their context; ranges that touch are one. */
function hunks(steps: readonly Step[]): [start: number, end: number][] {
  const ranges: [number, number][] = [];
  steps.forEach(({ kind }, index) => {
    if (kind === 'keep') return;
    const start = Math.max(0, index - CONTEXT);
    const end = Math.min(steps.length, index + CONTEXT + 1);
    const last = ranges.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = end;
    else ranges.push([start, end]);
  });
  return ranges;
}

function hunkHeader(steps: readonly Step[], start: number, end: number): string {
  const count = (without: Step['kind'], part: readonly Step[]) =>
    part.filter(({ kind }) => kind !== without).length;
  const range = (without: Step['kind']) => {
    const length = count(without, steps.slice(start, end));
    const first = count(without, steps.slice(0, start)) + (length === 0 ? 0 : 1);
    return length === 1 ? `${first}` : `${first},${length}`;
  };
  return `@@ -${range('add')} +${range('remove')} @@`;
}

type Paint = 'header' | 'hunk' | Step['kind'];
type Painter = (what: Paint, text: string) => string;

/** The colours of git. */
const ANSI: Readonly<Record<Paint, string>> = {
  header: '\u001b[1m',
  hunk: '\u001b[36m',
  remove: '\u001b[31m',
  add: '\u001b[32m',
  keep: '',
};

function painter(color: boolean): Painter {
  return (what, text) => (color && ANSI[what] !== '' ? `${ANSI[what]}${text}\u001b[0m` : text);
}
