import type { ErrorCode } from '../error-codes.js';
import { VsmmuError } from '../errors.js';
import type { XmlAttribute, XmlElement } from './element.js';
import { Lexer, XmlFault } from './lexer.js';
import {
  agrees,
  enterScope,
  NamespaceError,
  OUTERMOST,
  splitName,
  uriOf,
  type NamespaceScope,
} from './namespaces.js';
import { placeOf } from './place.js';
import type { UntouchedElement, UntouchedElements } from './untouched.js';

/**
 * What a document may cost. libvirt takes at most 4 MiB over its own protocol (REMOTE_STRING_MAX) and libxml2
 * at most 256 levels, so nothing that libvirt would accept is refused; the counts keep a hostile document of
 * that size from filling a hook sidecar's 64 MB.
 */
export const SCAN_LIMITS = {
  characters: 4 * 1024 * 1024,
  depth: 256,
  elements: 100_000,
  attributes: 200_000,
};

export interface ScanOptions {
  /** Names of elements whose content is read and checked, but not kept in the tree. */
  readonly leaves?: ReadonlySet<string>;
  /** Elements that were read already, when the document was another one: they are taken over, limits included. */
  readonly untouched?: UntouchedElements;
}

interface TreeElement extends XmlElement {
  readonly children: TreeElement[];
  closeStart: number;
  end: number;
}

/** An element whose end is still to come; inside a leaf it has no place in the tree. */
interface OpenElement {
  readonly name: string;
  readonly element: TreeElement | undefined;
  /** What prefixes mean outside of it. */
  readonly outerScope: NamespaceScope;
}

/**
 * Reads a whole document into a tree with offsets; strict: what libxml2 would not parse is refused here, so that
 * libvirt and vsmmu never understand one text in two ways.
 *
 * A DOCTYPE is refused: libvirt's XML has none, and without one there are no entities to expand.
 *
 * @param source names the text in error messages
 * @throws VsmmuError XML_MALFORMED, XML_DOCTYPE or XML_LIMIT
 */
export function scanXml(text: string, source: string, options: ScanOptions = {}): XmlElement {
  if (text.length > SCAN_LIMITS.characters)
    throw new VsmmuError('XML_LIMIT', `the document has more than ${SCAN_LIMITS.characters} characters`, {
      place: source,
      remedy: 'libvirt takes no domain XML of more than 4 MiB; make it smaller.',
    });
  const error = (code: ErrorCode, message: string, offset: number, remedy: string) =>
    new VsmmuError(code, message, { place: placeOf(source, text, Math.min(offset, text.length)), remedy });
  try {
    return new Scan(text, options).run();
  } catch (fault) {
    if (fault instanceof Refusal) throw error(fault.code, fault.message, fault.offset, fault.remedy);
    if (!(fault instanceof XmlFault)) throw fault;
    throw error('XML_MALFORMED', fault.message, fault.offset, 'Repair the XML: it must be well-formed.');
  }
}

/** Well-formed as far as it was read, and not taken nevertheless. */
class Refusal extends XmlFault {
  readonly code: ErrorCode;
  readonly remedy: string;

  constructor(code: ErrorCode, offset: number, message: string, remedy: string) {
    super(offset, message);
    this.code = code;
    this.remedy = remedy;
  }
}

class Scan {
  readonly #lexer: Lexer;
  readonly #leaves: ReadonlySet<string>;
  readonly #untouched: UntouchedElements;
  readonly #open: OpenElement[] = [];
  #scope = OUTERMOST;
  #root: TreeElement | undefined;
  #elements = 0;
  #attributes = 0;

  constructor(text: string, { leaves = new Set(), untouched = new Map() }: ScanOptions) {
    this.#lexer = new Lexer(text);
    this.#leaves = leaves;
    this.#untouched = untouched;
  }

  run(): XmlElement {
    const lexer = this.#lexer;
    lexer.prolog();
    for (;;) {
      if (this.#open.length > 0) lexer.characterData();
      else lexer.space();
      if (lexer.at === lexer.text.length) return this.#finished();
      this.#markup();
    }
  }

  #finished(): XmlElement {
    const open = this.#open.at(-1);
    if (open !== undefined) throw new XmlFault(this.#lexer.at, `<${open.name}> is not closed`);
    if (this.#root === undefined) throw new XmlFault(0, 'there is no element');
    return this.#root;
  }

  #markup(): void {
    const lexer = this.#lexer;
    const second = lexer.text.charAt(lexer.at + 1);
    if (second === '/') this.#endTag();
    else if (second === '?') lexer.processingInstruction();
    else if (second === '!') this.#declaration();
    else this.#startTag();
  }

  #declaration(): void {
    const lexer = this.#lexer;
    if (lexer.sees('<!--')) lexer.comment();
    else if (lexer.sees('<![CDATA[') && this.#open.length > 0) lexer.section();
    else if (lexer.sees('<!DOCTYPE'))
      throw this.#refusal(
        'XML_DOCTYPE',
        'the document has a DOCTYPE',
        'Remove the DOCTYPE; libvirt needs none.',
      );
    else throw new XmlFault(lexer.at, 'malformed declaration');
  }

  #startTag(): void {
    const start = this.#lexer.at;
    if (this.#takesOver(this.#untouched.get(start))) return;
    if (this.#open.length === 0 && this.#root !== undefined)
      throw new XmlFault(start, 'a second root element');
    const { name, attributes: lexed, selfClosing } = this.#lexer.startTag();
    this.#count(start, lexed.length);
    const outerScope = this.#scope;
    const { prefix, local, uri, attributes } = this.#named(start, name, lexed);
    const outer = this.#open.at(-1);
    const parent = outer?.element;
    if (outer !== undefined && (parent === undefined || this.#leaves.has(outer.name))) {
      if (selfClosing) this.#scope = outerScope;
      else this.#open.push({ name, element: undefined, outerScope });
      return;
    }
    const openEnd = this.#lexer.at;
    // Field by field: an object made by spreading is ten times as slow here.
    const element: TreeElement = {
      name,
      prefix,
      local,
      uri,
      attributes,
      parent,
      children: [],
      start,
      openEnd,
      closeStart: openEnd,
      end: openEnd,
      selfClosing,
    };
    if (parent === undefined) this.#root = element;
    else parent.children.push(element);
    if (selfClosing) this.#scope = outerScope;
    else this.#open.push({ name, element, outerScope });
  }

  /** An element that no edit touched is not read again, if it stands where its prefixes mean what they meant. */
  #takesOver(known: UntouchedElement | undefined): boolean {
    const outer = this.#open.at(-1);
    if (known === undefined || outer?.element === undefined || this.#leaves.has(outer.name)) return false;
    if (!agrees(known.scope, this.#scope)) return false;
    const element = moved(known.element, known.by, outer.element);
    outer.element.children.push(element);
    this.#lexer.at = element.end;
    return true;
  }

  #endTag(): void {
    const open = this.#open.pop();
    const start = this.#lexer.at;
    if (open === undefined) throw new XmlFault(start, 'the end of an element that was not begun');
    this.#lexer.endTag(open.name);
    this.#scope = open.outerScope;
    if (open.element === undefined) return;
    open.element.closeStart = start;
    open.element.end = this.#lexer.at;
  }

  #named(
    start: number,
    name: string,
    lexed: readonly XmlAttribute[],
  ): Pick<XmlElement, 'prefix' | 'local' | 'uri' | 'attributes'> {
    try {
      const scope = enterScope(this.#scope, lexed);
      this.#scope = scope;
      const { prefix, local } = splitName(name);
      if (prefix === 'xmlns') throw new NamespaceError('an element cannot have the prefix xmlns');
      const uri = prefix === '' ? scope.defaultUri : uriOf(scope, prefix);
      return { prefix, local, uri, attributes: namedAttributes(scope, lexed) };
    } catch (error) {
      if (error instanceof NamespaceError) throw new XmlFault(start, error.message);
      throw error;
    }
  }

  #count(start: number, attributes: number): void {
    this.#elements++;
    this.#attributes += attributes;
    const over = (what: string, limit: number) =>
      this.#refusal(
        'XML_LIMIT',
        `the document has more than ${limit} ${what}`,
        'Make the document smaller.',
        start,
      );
    if (this.#open.length >= SCAN_LIMITS.depth) throw over('levels of elements', SCAN_LIMITS.depth);
    if (this.#elements > SCAN_LIMITS.elements) throw over('elements', SCAN_LIMITS.elements);
    if (this.#attributes > SCAN_LIMITS.attributes) throw over('attributes', SCAN_LIMITS.attributes);
  }

  #refusal(code: ErrorCode, message: string, remedy: string, offset = this.#lexer.at): Refusal {
    return new Refusal(code, offset, message, remedy);
  }
}

/** The same element at another place. */
function moved(from: XmlElement, by: number, parent: TreeElement): TreeElement {
  const { name, prefix, local, uri, attributes, selfClosing } = from;
  const element: TreeElement = {
    name,
    prefix,
    local,
    uri,
    attributes,
    parent,
    children: [],
    start: from.start + by,
    openEnd: from.openEnd + by,
    closeStart: from.closeStart + by,
    end: from.end + by,
    selfClosing,
  };
  for (const child of from.children) element.children.push(moved(child, by, element));
  return element;
}

/** @throws NamespaceError where two names mean the same attribute; the lexer has found those that are the same */
function namedAttributes(scope: NamespaceScope, lexed: readonly XmlAttribute[]): readonly XmlAttribute[] {
  const prefixed = lexed.filter(({ name }) => name.includes(':')).length;
  if (prefixed === 0) return lexed;
  const attributes = lexed.map(({ name, value }): XmlAttribute => {
    const { prefix, local } = splitName(name);
    // A default namespace is not one for attributes.
    return { name, local, uri: prefix === '' ? '' : uriOf(scope, prefix), value };
  });
  if (prefixed > 1) {
    const meanings = attributes.map(({ uri, local }) => `{${uri}}${local}`);
    if (new Set(meanings).size < meanings.length) throw new NamespaceError('duplicate attribute');
  }
  return attributes;
}
