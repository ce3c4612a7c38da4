import { SaxesParser } from 'saxes';

import type { ErrorCode } from '../error-codes.js';
import { VsmmuError, messageOf } from '../errors.js';
import type { XmlAttribute, XmlElement } from './element.js';
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
 * @throws VsmmuError XML_MALFORMED, XML_DOCTYPE or XML_LIMIT
 */
export function scanXml(text: string, source: string): XmlElement {
  if (text.length > SCAN_LIMITS.characters)
    throw new VsmmuError('XML_LIMIT', `the document has more than ${SCAN_LIMITS.characters} characters`, {
      place: source,
      remedy: 'libvirt takes no domain XML of more than 4 MiB; make it smaller.',
    });
  return new Scan(text, source).run();
}

class Scan {
  readonly #text: string;
  readonly #source: string;
  // XML 1.0 whatever the declaration says: libxml2 knows no 1.1.
  readonly #parser = new SaxesParser({ xmlns: true, defaultXMLVersion: '1.0', forceXMLVersion: true });
  readonly #open: OpenElement[] = [];
  #root: OpenElement | undefined;
  #start = 0;
  #elements = 0;
  #attributes = 0;

  constructor(text: string, source: string) {
    this.#text = text;
    this.#source = source;
  }

  run(): XmlElement {
    const parser = this.#parser;
    parser.on('error', (error) => this.#malformed(error));
    parser.on('doctype', () =>
      this.#refuse('XML_DOCTYPE', 'the document has a DOCTYPE', 'Remove the DOCTYPE; libvirt needs none.'),
    );
    // No "<" can stand between the one that opens a tag and the place where these events fire.
    parser.on('opentagstart', () => {
      this.#start = this.#text.lastIndexOf('<', parser.position - 1);
    });
    parser.on('opentag', (tag) => this.#opened(tag, Object.values(tag.attributes)));
    parser.on('closetag', () => this.#closed());
    parser.write(this.#text).close();
    this.#checkSurrogates();
    if (this.#root === undefined) throw this.#error('XML_MALFORMED', 'there is no element', 0);
    return this.#root;
  }

  #opened(
    tag: { name: string; prefix: string; local: string; uri: string },
    attributes: readonly XmlAttribute[],
  ): void {
    this.#count(attributes.length);
    const openEnd = this.#parser.position;
    const parent = this.#open.at(-1);
    const element: OpenElement = {
      name: tag.name,
      prefix: tag.prefix,
      local: tag.local,
      uri: tag.uri,
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
  }

  #closed(): void {
    const element = this.#open.pop();
    if (element === undefined) return;
    element.end = this.#parser.position;
    element.selfClosing = element.end === element.openEnd;
    if (!element.selfClosing) element.closeStart = this.#text.lastIndexOf('<', element.end - 1);
  }

  #count(attributes: number): void {
    this.#elements++;
    this.#attributes += attributes;
    const over = (what: string, limit: number) =>
      this.#refuse('XML_LIMIT', `the document has more than ${limit} ${what}`, 'Make the document smaller.');
    if (this.#open.length >= SCAN_LIMITS.depth) over('levels of elements', SCAN_LIMITS.depth);
    if (this.#elements > SCAN_LIMITS.elements) over('elements', SCAN_LIMITS.elements);
    if (this.#attributes > SCAN_LIMITS.attributes) over('attributes', SCAN_LIMITS.attributes);
  }

  /** The parser pairs surrogates without checking them; half a pair has no UTF-8 form and would come out changed. */
  #checkSurrogates(): void {
    const lone = /\p{Surrogate}/u.exec(this.#text);
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
