/** A value that stands in the document after an edit and did not before, as data: words quote what users wrote. */
export interface SetValue {
  /** An attribute of the vSMMU's `<driver>`, or a property in the `<qemu:override>` of its alias. */
  readonly as: 'attribute' | 'override';
  /** "iommu0", "ua-gpu0" */
  readonly alias: string;
  readonly name: string;
  readonly value: string;
}

/** What an edit is for. */
export interface Reason {
  /** For `--explain`: "<driver> ats='on' becomes 'off'". */
  readonly what: string;
  readonly why: string;
  /** Left out where the edit sets no property. */
  readonly sets?: readonly SetValue[];
}

/** One change of the text: `start`..`end` gives way to `text`; an insertion has start = end. */
export interface Edit extends Reason {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** By place. Equal places keep the planner's order; an insertion goes before a replacement there. */
export function inOrder(edits: readonly Edit[]): readonly Edit[] {
  return edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
}

/**
 * Makes all changes at once; insertions at one place keep their order.
 * @throws where two edits overlap: a planner's error, and nothing is written then
 */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const edit of inOrder(edits)) {
    if (edit.start < at || edit.end < edit.start || edit.end > text.length)
      throw new RangeError(`edit ${edit.start}..${edit.end} (${edit.what}) overlaps the one before it`);
    parts.push(text.slice(at, edit.start), edit.text);
    at = edit.end;
  }
  parts.push(text.slice(at));
  return parts.join('');
}
