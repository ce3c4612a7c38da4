/** An element to be written. Everything that reaches the document in a new place goes through `renderLines`. */
export interface NewElement {
  readonly name: string;
  readonly attributes: readonly (readonly [name: string, value: string])[];
  readonly children?: readonly NewElement[];
  /** Text instead of children. */
  readonly text?: string;
}

const IN_ATTRIBUTE: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '"': '&quot;',
  "'": '&apos;',
  '\n': '&#10;',
  '\r': '&#13;',
  '\t': '&#9;',
};

export function escapeAttribute(value: string): string {
  return value.replace(/[&<"'\n\r\t]/g, (character) => IN_ATTRIBUTE[character] ?? character);
}

export function escapeText(value: string): string {
  // "]]>" must not stand in text, hence ">".
  return value.replace(/[&<>\r]/g, (character) =>
    character === '>' ? '&gt;' : (IN_ATTRIBUTE[character] ?? character),
  );
}

export interface LineStyle {
  /** One step of indentation. */
  readonly unit: string;
  readonly quote: string;
}

/** The element as lines, the first without indentation, each further one indented relative to the first. */
export function renderLines(element: NewElement, style: LineStyle): string[] {
  const attributes = element.attributes
    .map(([name, value]) => ` ${name}=${style.quote}${escapeAttribute(value)}${style.quote}`)
    .join('');
  const open = `<${element.name}${attributes}`;
  if (element.text !== undefined) return [`${open}>${escapeText(element.text)}</${element.name}>`];
  if (element.children === undefined || element.children.length === 0) return [`${open}/>`];
  const inner = element.children.flatMap((child) => renderLines(child, style));
  return [`${open}>`, ...inner.map((line) => style.unit + line), `</${element.name}>`];
}
