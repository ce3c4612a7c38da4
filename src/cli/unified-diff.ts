import { type DiffLine, lineDiff } from '../domain/line-diff.js';

const CONTEXT = 3;

export interface DiffOptions {
  readonly from: string;
  readonly to: string;
  readonly color: boolean;
}

/** The difference of two texts as "diff -u" writes it; empty where there is none. */
export function unifiedDiff(before: string, after: string, { from, to, color }: DiffOptions): string {
  if (before === after) return '';
  const steps = lineDiff(before, after);
  const paint = painter(color);
  const out = [paint('header', `--- ${from}`), paint('header', `+++ ${to}`)];
  for (const [start, end] of hunks(steps)) {
    out.push(paint('hunk', hunkHeader(steps, start, end)));
    for (const { kind, line } of steps.slice(start, end)) out.push(...rendered(kind, line, paint));
  }
  return `${out.join('\n')}\n`;
}

function rendered(kind: DiffLine['kind'], line: string, paint: Painter): string[] {
  const sign = { keep: ' ', remove: '-', add: '+' }[kind];
  const bare = line.endsWith('\n') ? line.slice(0, -1) : line;
  const first = paint(kind, sign + bare);
  return bare === line ? [first, '\\ No newline at end of file'] : [first];
}

/** Ranges of steps that hold changes with their context; ranges that touch are one. */
function hunks(steps: readonly DiffLine[]): [start: number, end: number][] {
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

function hunkHeader(steps: readonly DiffLine[], start: number, end: number): string {
  const count = (without: DiffLine['kind'], part: readonly DiffLine[]) =>
    part.filter(({ kind }) => kind !== without).length;
  const range = (without: DiffLine['kind']) => {
    const length = count(without, steps.slice(start, end));
    const first = count(without, steps.slice(0, start)) + (length === 0 ? 0 : 1);
    return length === 1 ? `${first}` : `${first},${length}`;
  };
  return `@@ -${range('add')} +${range('remove')} @@`;
}

type Paint = 'header' | 'hunk' | DiffLine['kind'];
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
