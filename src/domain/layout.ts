import { attributeSpans } from './attribute-span.js';
import type { Edit, Reason } from './edit.js';
import type { XmlAttribute, XmlElement } from './element.js';
import { escapeAttribute, renderLines, type LineStyle, type NewElement } from './render.js';

/**
 * Writes changes in the manner of the document at hand: its indentation, its line ends, its quotes.
 * Every method gives edits; nothing is changed here.
 */
export class Layout {
  readonly #text: string;
  readonly #newline: string;
  readonly #style: LineStyle;
  /** Is the document written with an element a line? */
  readonly #indented: boolean;

  constructor(text: string, root: XmlElement) {
    this.#text = text;
    this.#newline = text.includes('\r\n') ? '\r\n' : '\n';
    const outer = this.#indentOf(root) ?? '';
    const inner = root.children.map((child) => this.#indentOf(child)).find((indent) => indent !== undefined);
    this.#indented = inner !== undefined;
    const unit = inner?.startsWith(outer) === true ? inner.slice(outer.length) : '';
    this.#style = { unit: unit === '' ? '  ' : unit, quote: this.#quoteOf(root) };
  }

  /** White space in front of an element that begins its line, otherwise undefined. */
  #indentOf(element: XmlElement): string | undefined {
    const lineStart = this.#text.lastIndexOf('\n', element.start - 1) + 1;
    const before = this.#text.slice(lineStart, element.start);
    return lineStart > 0 && /^[ \t]*$/.test(before) ? before : undefined;
  }

  #quoteOf(element: XmlElement): string {
    for (const span of attributeSpans(this.#text, element).values()) return span.quote;
    return element.parent === undefined ? "'" : this.#quoteOf(element.parent);
  }

  #childIndent(parent: XmlElement): string {
    for (const child of parent.children) {
      const indent = this.#indentOf(child);
      if (indent !== undefined) return indent;
    }
    return this.#depthIndent(parent) + this.#style.unit;
  }

  #depthIndent(element: XmlElement): string {
    const own = this.#indentOf(element);
    if (own !== undefined) return own;
    return element.parent === undefined ? '' : this.#depthIndent(element.parent) + this.#style.unit;
  }

  /** New children behind all that the parent holds. */
  append(parent: XmlElement, children: readonly NewElement[], reason: Reason): Edit {
    const rendered = children.map((child) => this.#render(child, this.#childIndent(parent))).join('');
    const closing = this.#indented ? this.#newline + this.#depthIndent(parent) : '';
    if (parent.selfClosing) {
      const text = `>${rendered}${closing}</${parent.name}>`;
      return { start: parent.openEnd - 2, end: parent.openEnd, text, ...reason };
    }
    const at = this.#spaceStart(parent.openEnd, parent.closeStart);
    const trailing = this.#text.slice(at, parent.closeStart);
    return { start: at, end: at, text: rendered + (trailing.includes('\n') ? '' : closing), ...reason };
  }

  /** A new sibling directly in front of an element. */
  insertBefore(sibling: XmlElement, element: NewElement, reason: Reason): Edit {
    const lines = renderLines(element, this.#style);
    const indent = this.#newline + this.#depthIndent(sibling);
    const text = this.#indented ? lines.map((line) => line + indent).join('') : lines.join('');
    return { start: sibling.start, end: sibling.start, text, ...reason };
  }

  #render(element: NewElement, indent: string): string {
    const lines = renderLines(element, this.#style);
    if (!this.#indented) return lines.map((line) => line.trimStart()).join('');
    return lines.map((line) => this.#newline + indent + line).join('');
  }

  /** The element in another form, in its place. */
  replace(element: XmlElement, by: NewElement, reason: Reason): Edit {
    const lines = renderLines(by, this.#style);
    const text = this.#indented
      ? lines.join(this.#newline + this.#depthIndent(element))
      : lines.map((line) => line.trimStart()).join('');
    return { start: element.start, end: element.end, text, ...reason };
  }

  /** Takes the element out, and its line where it had one of its own. */
  remove(element: XmlElement, reason: Reason): Edit {
    let start = element.start;
    const indent = this.#indentOf(element);
    if (indent !== undefined && /^[ \t]*\r?\n/.test(this.#text.slice(element.end, element.end + 200))) {
      start -= indent.length + 1;
      if (this.#text[start - 1] === '\r') start--;
    }
    return { start, end: element.end, text: '', ...reason };
  }

  /** Another value (and, where given, another name) between the attribute's own quotes. */
  setAttribute(
    element: XmlElement,
    attribute: XmlAttribute,
    value: string,
    reason: Reason,
    name?: string,
  ): Edit {
    const span = this.#span(element, attribute);
    const escaped = escapeAttribute(value);
    if (name === undefined || name === attribute.name)
      return { start: span.valueStart, end: span.valueEnd, text: escaped, ...reason };
    const text = `${name}=${span.quote}${escaped}${span.quote}`;
    return { start: span.start, end: span.end, text, ...reason };
  }

  /** A new attribute behind another one, or first in its tag. */
  addAttribute(
    element: XmlElement,
    after: XmlAttribute | undefined,
    name: string,
    value: string,
    reason: Reason,
  ): Edit {
    const quote = this.#quoteOf(element);
    const at = after === undefined ? element.start + 1 + element.name.length : this.#span(element, after).end;
    return { start: at, end: at, text: ` ${name}=${quote}${escapeAttribute(value)}${quote}`, ...reason };
  }

  removeAttribute(element: XmlElement, attribute: XmlAttribute, reason: Reason): Edit {
    const span = this.#span(element, attribute);
    return { start: this.#spaceStart(element.start, span.start), end: span.end, text: '', ...reason };
  }

  /** Where the white space in front of `end` begins, but not before `from`. */
  #spaceStart(from: number, end: number): number {
    let at = end;
    while (at > from && ' \t\r\n'.includes(this.#text.charAt(at - 1))) at--;
    return at;
  }

  #span(element: XmlElement, attribute: XmlAttribute) {
    const span = attributeSpans(this.#text, element).get(attribute.name);
    if (span === undefined) throw new RangeError(`<${element.name}> has no attribute ${attribute.name}`);
    return span;
  }
}
