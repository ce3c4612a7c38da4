import type { XmlAttribute } from './element.js';

/** Something that XML 1.0 does not allow, and where: an offset in UTF-16 code units. */
export class XmlFault extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

export interface StartTag {
  readonly name: string;
  /** As they are where no name has a prefix. */
  readonly attributes: readonly XmlAttribute[];
  readonly selfClosing: boolean;
}

/** White space of XML (production 3), for a class of a regular expression. */
export const SPACE = ' \t\r\n';
const NAME_START =
  ':A-Z_a-z\\u{c0}-\\u{d6}\\u{d8}-\\u{f6}\\u{f8}-\\u{2ff}\\u{370}-\\u{37d}\\u{37f}-\\u{1fff}\\u{200c}\\u{200d}' +
  '\\u{2070}-\\u{218f}\\u{2c00}-\\u{2fef}\\u{3001}-\\u{d7ff}\\u{f900}-\\u{fdcf}\\u{fdf0}-\\u{fffd}\\u{10000}-\\u{effff}';
const NAME = new RegExp(
  `[${NAME_START}][-.0-9\\u{b7}\\u{300}-\\u{36f}\\u{203f}\\u{2040}${NAME_START}]*`,
  'uy',
);
/** Most names by far; what follows one must not be a letter that only the rule above knows. */
const ASCII_NAME = /[:A-Z_a-z][-.:\w]*/y;
const NOT_ASCII = 0x80;

const DECLARATION = new RegExp(
  `<\\?xml[${SPACE}]+version[${SPACE}]*=[${SPACE}]*(?:"1\\.[0-9]+"|'1\\.[0-9]+')` +
    `(?:[${SPACE}]+encoding[${SPACE}]*=[${SPACE}]*(?:"([A-Za-z][-.\\w]*)"|'([A-Za-z][-.\\w]*)'))?` +
    `(?:[${SPACE}]+standalone[${SPACE}]*=[${SPACE}]*(?:"(?:yes|no)"|'(?:yes|no)'))?[${SPACE}]*\\?>`,
  'y',
);
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

const TAB = 0x09;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const BLANK = 0x20;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const SLASH = 0x2f;
const EQUALS = 0x3d;
const GREATER_THAN = 0x3e;

/**
 * Reads the parts of an XML 1.0 document (fifth edition, as libxml2) one after the other, from `at` on. Every method
 * reads one part whole and moves `at` behind it; what XML does not allow is thrown as XmlFault.
 *
 * Which part comes next, and whether it may, is for the caller to know.
 */
export class Lexer {
  readonly text: string;
  at = 0;
  readonly #reference: NextPlace;
  readonly #sectionEnd: NextPlace;

  constructor(text: string) {
    this.text = text;
    this.#reference = new NextPlace(text, '&');
    this.#sectionEnd = new NextPlace(text, ']]>');
    checkCharacters(text);
  }

  /** Is this what comes next? */
  sees(markup: string): boolean {
    return this.text.startsWith(markup, this.at);
  }

  /** A byte order mark, and `<?xml version="1.0"?>` with all its parts. */
  prolog(): void {
    if (this.sees('\uFEFF')) this.at++;
    if (!/^<\?xml[ \t\r\n?]/.test(this.text.slice(this.at, this.at + 6))) return;
    DECLARATION.lastIndex = this.at;
    const match = DECLARATION.exec(this.text);
    if (match === null) this.#fault('malformed XML declaration');
    const encoding = match[1] ?? match[2] ?? 'UTF-8';
    // libxml2 would read the bytes as it is told, and might see another document than this one.
    if (!/^(utf-?8|us-ascii|ascii)$/i.test(encoding))
      this.#fault(`declared as ${encoding}, but given as UTF-8`);
    this.at = DECLARATION.lastIndex;
  }

  /** Text up to the next tag or the end. */
  characterData(): void {
    const begin = this.at;
    const bracket = this.text.indexOf('<', begin);
    const end = bracket === -1 ? this.text.length : bracket;
    for (let at = this.#reference.from(begin); at < end; at = this.#reference.from(at + 1))
      this.#characterReferredTo(
        at,
        this.text.slice(at, Math.min(end, this.text.indexOf(';', at) + 1 || end)),
      );
    if (this.#sectionEnd.from(begin) < end) this.#fault('"]]>" in text', this.#sectionEnd.from(begin));
    this.at = end;
  }

  /** White space up to the next tag or the end, where nothing else may stand. */
  space(): void {
    this.at = this.#skipSpace(this.at);
    if (this.at < this.text.length && !this.sees('<')) this.#fault('text outside of the root element');
  }

  comment(): void {
    const dashes = this.text.indexOf('--', this.at + '<!--'.length);
    if (dashes === -1) this.#fault('unclosed comment');
    if (this.text.charCodeAt(dashes + 2) !== GREATER_THAN) this.#fault('"--" in a comment', dashes);
    this.at = dashes + '-->'.length;
  }

  section(): void {
    const end = this.text.indexOf(']]>', this.at);
    if (end === -1) this.#fault('unclosed CDATA section');
    this.at = end + ']]>'.length;
  }

  processingInstruction(): void {
    const target = this.#name(this.at + '<?'.length);
    if (target.toLowerCase() === 'xml') this.#fault('an XML declaration that is not at the beginning');
    const behind = this.at + '<?'.length + target.length;
    const end = this.text.indexOf('?>', behind);
    if (end === -1) this.#fault('unclosed processing instruction');
    if (end > behind && this.#skipSpace(behind) === behind)
      this.#fault('a processing instruction needs white space behind its target', behind);
    this.at = end + '?>'.length;
  }

  startTag(): StartTag {
    const name = this.#name(this.at + 1);
    const attributes: XmlAttribute[] = [];
    let at = this.at + 1 + name.length;
    for (;;) {
      const next = this.#skipSpace(at);
      const code = this.text.charCodeAt(next);
      if (code === GREATER_THAN || code === SLASH) {
        const selfClosing = code === SLASH;
        const end = selfClosing ? next + 1 : next;
        if (this.text.charCodeAt(end) !== GREATER_THAN) this.#fault('"/" in a tag', next);
        checkDuplicates(attributes, this.at);
        this.at = end + 1;
        return { name, attributes, selfClosing };
      }
      if (next === at || next >= this.text.length) this.#fault(`malformed tag <${name}>`, next);
      at = this.#attribute(next, attributes);
    }
  }

  /** @param name of the element that is open */
  endTag(name: string): void {
    const begin = this.at + '</'.length;
    const end = begin + name.length;
    const close = this.#skipSpace(end);
    if (!this.text.startsWith(name, begin) || this.text.charCodeAt(close) !== GREATER_THAN)
      this.#fault(`</${this.text.slice(begin, begin + 40).replace(/[\s>].*/s, '')}> where </${name}> is due`);
    this.at = close + 1;
  }

  /** @returns the place behind it */
  #attribute(begin: number, into: XmlAttribute[]): number {
    const name = this.#name(begin);
    const equals = this.#skipSpace(begin + name.length);
    const open = this.#skipSpace(equals + 1);
    const quote = this.text.charCodeAt(open);
    if (this.text.charCodeAt(equals) !== EQUALS || (quote !== DOUBLE_QUOTE && quote !== SINGLE_QUOTE))
      this.#fault(`attribute ${name} has no value in quotes`, begin);
    const close = this.text.indexOf(quote === DOUBLE_QUOTE ? '"' : "'", open + 1);
    if (close === -1) this.#fault(`the value of attribute ${name} has no end`, open);
    into.push({ name, local: name, uri: '', value: this.#value(open + 1, close) });
    return close + 1;
  }

  #value(begin: number, end: number): string {
    const raw = this.text.slice(begin, end);
    if (!/[<&\t\r\n]/.test(raw)) return raw;
    if (raw.includes('<')) this.#fault('"<" in an attribute', begin + raw.indexOf('<'));
    // White space first: what a reference stands for is not normalised.
    return raw
      .replace(/\r\n|[\t\r\n]/g, ' ')
      .replace(/&[^;]*;?/g, (reference) => this.#characterReferredTo(begin, reference));
  }

  #characterReferredTo(offset: number, reference: string): string {
    const match = /^&(?:#([0-9]+)|#x([0-9a-fA-F]+)|(\w+));$/.exec(reference);
    const [, decimal, hexadecimal, entity = ''] = match ?? [];
    const code = parseInt(decimal ?? hexadecimal ?? '', decimal === undefined ? 16 : 10);
    if (isCharacter(code)) return String.fromCodePoint(code);
    const character = Object.hasOwn(ENTITIES, entity) ? ENTITIES[entity] : undefined;
    return character ?? this.#fault(`"${reference.slice(0, 40)}" refers to nothing`, offset);
  }

  #name(begin: number): string {
    ASCII_NAME.lastIndex = begin;
    let end = ASCII_NAME.test(this.text) ? ASCII_NAME.lastIndex : begin;
    if (end === begin || this.text.charCodeAt(end) >= NOT_ASCII) {
      NAME.lastIndex = begin;
      end = NAME.test(this.text) ? NAME.lastIndex : begin;
    }
    return end > begin ? this.text.slice(begin, end) : this.#fault('a name is missing', begin);
  }

  #skipSpace(from: number): number {
    let at = from;
    for (;;) {
      const code = this.text.charCodeAt(at);
      if (code !== BLANK && code !== LINE_FEED && code !== TAB && code !== RETURN) return at;
      at++;
    }
  }

  #fault(message: string, offset = this.at): never {
    throw new XmlFault(offset, message);
  }
}

/** Where a mark stands next. Asked with ascending offsets, it looks at every character once. */
class NextPlace {
  readonly #text: string;
  readonly #mark: string;
  #found = -1;

  constructor(text: string, mark: string) {
    this.#text = text;
    this.#mark = mark;
  }

  /** Infinity: nowhere. */
  from(offset: number): number {
    if (this.#found < offset) {
      const found = this.#text.indexOf(this.#mark, offset);
      this.#found = found === -1 ? Infinity : found;
    }
    return this.#found;
  }
}

/** XML's production Char; NaN is none. */
function isCharacter(code: number): boolean {
  return (
    (code >= 0x20 && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    (code >= 0x10000 && code <= 0x10ffff) ||
    [TAB, LINE_FEED, RETURN].includes(code)
  );
}

function checkCharacters(text: string): void {
  // The slow question is asked only of texts that have surrogates at all, or something that is no character anyway.
  if (!/[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]/.test(text)) return;
  const bad = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/u.exec(text);
  if (bad === null) return;
  const code = bad[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
  throw new XmlFault(bad.index, `character U+${code} is not allowed`);
}

/** Above so many attributes a set is quicker than comparing each with each. */
const FEW = 8;

function checkDuplicates(attributes: readonly XmlAttribute[], offset: number): void {
  const seen = attributes.length > FEW ? new Set<string>() : undefined;
  for (let index = 0; index < attributes.length; index++) {
    const { name = '' } = attributes[index] ?? {};
    const twice = seen === undefined ? standsBefore(attributes, index, name) : seen.has(name);
    if (twice) throw new XmlFault(offset, `attribute ${name} stands twice`);
    seen?.add(name);
  }
}

function standsBefore(attributes: readonly XmlAttribute[], index: number, name: string): boolean {
  for (let before = 0; before < index; before++) if (attributes[before]?.name === name) return true;
  return false;
}
