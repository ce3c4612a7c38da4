import { SaxesParser } from 'saxes';

import type { ErrorCode } from '../error-codes.js';
import { VsmmuError, messageOf } from '../errors.js';
import type { XmlAttribute, XmlElement } from './element.js';
import {
  enterScope,
  NamespaceError,
  OUTERMOST,
  splitName,
  uriOf,
  type NamespaceScope,
} from './namespaces.js';
import { placeOf } from './place.js';

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

const LESS_THAN = 0x3c;
const NONE: ReadonlySet<string> = new Set();

interface OpenElement extends XmlElement {
  readonly children: OpenElement[];
  openEnd: number;
  closeStart: number;
  end: number;
  selfClosing: boolean;
}

/**
 * Reads a whole document into a tree with offsets; strict: what libxml2 would not parse is refused here, so that
 * libvirt and vsmmu never understand one text in two ways.
 *
 * A DOCTYPE is refused: libvirt's XML has none, and without one there are no entities to expand.
 *
 * @param source names the text in error messages
 * @param leaves elements whose content is read and checked, but not kept in the tree
 * @throws VsmmuError XML_MALFORMED, XML_DOCTYPE or XML_LIMIT
 */
export function scanXml(text: string, source: string, leaves: ReadonlySet<string> = NONE): XmlElement {
  if (text.length > SCAN_LIMITS.characters)
    throw new VsmmuError('XML_LIMIT', `the document has more than ${SCAN_LIMITS.characters} characters`, {
      place: source,
      remedy: 'libvirt takes no domain XML of more than 4 MiB; make it smaller.',
    });
  return new Scan(text, source, leaves).run();
}

class Scan {
  readonly #text: string;
  readonly #source: string;
  // XML 1.0 whatever the declaration says: libxml2 knows no 1.1.
  // Namespaces are ours: saxes takes a quarter of its time for them, and trims their URIs, which libxml2 doesn't.
  readonly #parser = new SaxesParser({ xmlns: false, defaultXMLVersion: '1.0', forceXMLVersion: true });
  readonly #open: OpenElement[] = [];
  readonly #scopes: NamespaceScope[] = [];
  #scope = OUTERMOST;
  #pending: { readonly name: string; readonly value: string }[] = [];
  #root: OpenElement | undefined;
  #start = 0;
  #elements = 0;
  #attributes = 0;
  readonly #leaves: ReadonlySet<string>;
  /** How deep inside a leaf the parser is; 0 outside of one. */
  #inLeaf = 0;

  constructor(text: string, source: string, leaves: ReadonlySet<string>) {
    this.#text = text;
    this.#source = source;
    this.#leaves = leaves;
  }

  run(): XmlElement {
    const parser = this.#parser;
    parser.on('error', (error) => this.#malformed(error));
    parser.on('doctype', () =>
      this.#refuse('XML_DOCTYPE', 'the document has a DOCTYPE', 'Remove the DOCTYPE; libvirt needs none.'),
    );
    parser.on('opentagstart', ({ name }) => {
      // The parser stands behind the one character that follows the name.
      this.#start = this.#bracketAt(parser.position - name.length - 2, parser.position);
    });
    parser.on('attribute', (attribute) => this.#pending.push(attribute));
    parser.on('opentag', ({ name }) => this.#opened(name));
    parser.on('closetag', () => this.#closed());
    parser.write(this.#text).close();
    this.#checkSurrogates();
    if (this.#root === undefined) throw this.#error('XML_MALFORMED', 'there is no element', 0);
    return this.#root;
  }

  #opened(name: string): void {
    const pending = this.#pending;
    this.#pending = [];
    this.#count(pending.length);
    const openEnd = this.#parser.position;
    const parent = this.#open.at(-1);
    const { prefix, local, uri, attributes } = this.#named(name, pending);
    if (this.#inLeaf > 0) {
      this.#inLeaf++;
      return;
    }
    // Field by field: an object made by spreading is ten times as slow here.
    const element: OpenElement = {
      name,
      prefix,
      local,
      uri,
      attributes,
      parent,
      children: [],
      start: this.#start,
      openEnd,
      closeStart: openEnd,
      end: openEnd,
      selfClosing: false,
    };
    if (parent === undefined) this.#root = element;
    else parent.children.push(element);
    this.#open.push(element);
    if (this.#leaves.has(name)) this.#inLeaf = 1;
  }

  #named(
    name: string,
    pending: readonly { readonly name: string; readonly value: string }[],
  ): Pick<XmlElement, 'prefix' | 'local' | 'uri' | 'attributes'> {
    this.#scopes.push(this.#scope);
    try {
      const scope = enterScope(this.#scope, pending);
      this.#scope = scope;
      const { prefix, local } = splitName(name);
      if (prefix === 'xmlns') throw new NamespaceError('an element cannot have the prefix xmlns');
      const uri = prefix === '' ? scope.defaultUri : uriOf(scope, prefix);
      return { prefix, local, uri, attributes: namedAttributes(scope, pending) };
    } catch (error) {
      if (error instanceof NamespaceError) return this.#malformed(error);
      throw error;
    }
  }

  #closed(): void {
    this.#scope = this.#scopes.pop() ?? OUTERMOST;
    if (this.#inLeaf > 1) {
      this.#inLeaf--;
      return;
    }
    this.#inLeaf = 0;
    const element = this.#open.pop();
    if (element === undefined) return;
    element.end = this.#parser.position;
    element.selfClosing = element.end === element.openEnd;
    if (!element.selfClosing)
      element.closeStart = this.#bracketAt(element.end - element.name.length - 3, element.end);
  }

  /**
   * Where a tag begins: where it must if no white space is in the way, or else the last "<" before the parser's
   * place; none can stand in between.
   */
  #bracketAt(expected: number, position: number): number {
    return this.#text.charCodeAt(expected) === LESS_THAN
      ? expected
      : this.#text.lastIndexOf('<', position - 1);
  }

  #count(attributes: number): void {
    this.#elements++;
    this.#attributes += attributes;
    const over = (what: string, limit: number) =>
      this.#refuse('XML_LIMIT', `the document has more than ${limit} ${what}`, 'Make the document smaller.');
    if (this.#scopes.length >= SCAN_LIMITS.depth) over('levels of elements', SCAN_LIMITS.depth);
    if (this.#elements > SCAN_LIMITS.elements) over('elements', SCAN_LIMITS.elements);
    if (this.#attributes > SCAN_LIMITS.attributes) over('attributes', SCAN_LIMITS.attributes);
  }

  /** The parser pairs surrogates without checking them; half a pair has no UTF-8 form and would come out changed. */
  #checkSurrogates(): void {
    // The slow question is asked only of texts that have surrogates at all.
    const lone = /[\ud800-\udfff]/.test(this.#text) ? /\p{Surrogate}/u.exec(this.#text) : null;
    if (lone !== null) throw this.#error('XML_MALFORMED', 'half a surrogate pair', lone.index);
  }

  #malformed(error: Error): never {
    // saxes puts its own "line:column: " in front; the place says it already.
    throw this.#error('XML_MALFORMED', messageOf(error).replace(/^\d+:\d+: /, ''), this.#parser.position);
  }

  #refuse(code: ErrorCode, message: string, remedy: string): never {
    throw this.#error(code, message, this.#parser.position, remedy);
  }

  #error(
    code: ErrorCode,
    message: string,
    offset: number,
    remedy = 'Repair the XML: it must be well-formed.',
  ) {
    const at = Math.max(0, Math.min(offset, this.#text.length) - 1);
    return new VsmmuError(code, message, { place: placeOf(this.#source, this.#text, at), remedy });
  }
}

/** @throws NamespaceError where two names mean the same attribute; the parser has found those that are the same */
function namedAttributes(
  scope: NamespaceScope,
  pending: readonly { readonly name: string; readonly value: string }[],
): readonly XmlAttribute[] {
  let prefixed = 0;
  const attributes = pending.map(({ name, value }): XmlAttribute => {
    const { prefix, local } = splitName(name);
    if (prefix !== '') prefixed++;
    // A default namespace is not one for attributes.
    return { name, local, uri: prefix === '' ? '' : uriOf(scope, prefix), value };
  });
  if (prefixed > 1) {
    const meanings = attributes.map(({ uri, local }) => `{${uri}}${local}`);
    if (new Set(meanings).size < meanings.length) throw new NamespaceError('duplicate attribute');
  }
  return attributes;
}
