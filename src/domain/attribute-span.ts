import type { XmlElement } from './element.js';
import { SPACE } from './lexer.js';

/** Where an attribute is written: name from `start`, value without its quotes, `end` behind the closing quote. */
export interface AttributeSpan {
  readonly start: number;
  readonly valueStart: number;
  readonly valueEnd: number;
  readonly end: number;
  readonly quote: string;
}

// Safe on a start tag that the scanner has proved well-formed, on nothing else. Not \s, which is white space of JavaScript:
// it holds U+FEFF and U+1680, with which a name may begin (XML 1.0, 5th edition, production 4).
const ATTRIBUTE = new RegExp(`([^${SPACE}=/>"']+)[${SPACE}]*=[${SPACE}]*("[^"]*"|'[^']*')`, 'g');

/** Spans by the attribute's name as written. */
export function attributeSpans(text: string, element: XmlElement): ReadonlyMap<string, AttributeSpan> {
  const spans = new Map<string, AttributeSpan>();
  const tagEnd = element.start + 1 + element.name.length;
  for (const match of text.slice(tagEnd, element.openEnd).matchAll(ATTRIBUTE)) {
    const [written, name = '', quoted = ''] = match;
    const start = tagEnd + match.index;
    const end = start + written.length;
    const valueEnd = end - 1;
    spans.set(name, { start, valueStart: end - quoted.length + 1, valueEnd, end, quote: quoted.slice(0, 1) });
  }
  return spans;
}
