import { inOrder, type Edit } from './edit.js';
import type { XmlElement } from './element.js';
import { enterScope, OUTERMOST, type NamespaceScope } from './namespaces.js';

/** An element that edits leave as it is, to its last character. */
export interface UntouchedElement {
  /** As it was read before the edits. */
  readonly element: XmlElement;
  /** How far the edits move it. */
  readonly by: number;
  /** What prefixes meant around it. */
  readonly scope: NamespaceScope;
}

export type UntouchedElements = ReadonlyMap<number, UntouchedElement>;

/** The outermost elements of a document that no edit touches, by the offset of each in the edited text. */
export function untouchedElements(root: XmlElement, edits: readonly Edit[]): UntouchedElements {
  const untouched = new Map<number, UntouchedElement>();
  const ordered = inOrder(edits);
  let next = 0;
  let by = 0;
  const walk = (parent: XmlElement, outerScope: NamespaceScope): void => {
    const scope = enterScope(outerScope, parent.attributes);
    for (const element of parent.children) {
      for (let edit = ordered[next]; edit !== undefined && edit.end <= element.start; edit = ordered[++next])
        by += edit.text.length - (edit.end - edit.start);
      if ((ordered[next]?.start ?? Infinity) < element.end) walk(element, scope);
      else untouched.set(element.start + by, { element, by, scope });
    }
  };
  walk(root, OUTERMOST);
  return untouched;
}
