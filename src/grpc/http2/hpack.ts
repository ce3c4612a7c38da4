import { Http2Error } from './frame.js';
import { decodeHuffman } from './huffman.js';

/** Name and value; names in lower case, pseudo-headers first. */
export type Header = readonly [name: string, value: string];

/** RFC 7541, appendix A; a value only where the table has one. */
const STATIC: readonly Header[] = [
  ':authority',
  ':method GET',
  ':method POST',
  ':path /',
  ':path /index.html',
  ':scheme http',
  ':scheme https',
  ...['200', '204', '206', '304', '400', '404', '500'].map((status) => `:status ${status}`),
  'accept-charset',
  'accept-encoding gzip,_deflate',
  ...['accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow'],
  ...['authorization', 'cache-control', 'content-disposition', 'content-encoding', 'content-language'],
  ...['content-length', 'content-location', 'content-range', 'content-type', 'cookie', 'date', 'etag'],
  ...['expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range'],
  ...['if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards', 'proxy-authenticate'],
  ...['proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie'],
  ...['strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate'],
].map((entry) => {
  const [name = '', value = ''] = entry.split(' ');
  return [name, value.replace('_', ' ')];
});

/** SETTINGS_HEADER_TABLE_SIZE is left at its initial value. */
const TABLE_MAX = 4096;
/** What an entry counts beside its octets (RFC 7541, section 4.1). */
const OVERHEAD = 32;
/** A gRPC call's headers are some hundred octets. */
export const HEADERS_MAX = 16_384;

/** Reads header blocks; one for each connection, as each block builds on those before it. */
export class HeaderDecoder {
  #dynamic: Header[] = [];
  #size = 0;
  #limit = TABLE_MAX;

  /** @throws Http2Error COMPRESSION_ERROR; the connection is lost then, ENHANCE_YOUR_CALM where the list is too long */
  decode(block: Buffer): Header[] {
    const reader = new BlockReader(block);
    const headers: Header[] = [];
    let total = 0;
    while (!reader.done) {
      const header = this.#next(reader, headers.length > 0);
      if (header === undefined) continue;
      total += sizeOf(header);
      if (total > HEADERS_MAX)
        throw new Http2Error('ENHANCE_YOUR_CALM', `more than ${HEADERS_MAX} octets of headers`);
      headers.push(header);
    }
    return headers;
  }

  /** One representation (RFC 7541, section 6). @returns undefined for a change of the table's size */
  #next(reader: BlockReader, begun: boolean): Header | undefined {
    const first = reader.peek();
    if (first >= 0x80) return this.#at(reader.integer(7));
    if (first >= 0x40) return this.#remember(this.#literal(reader, 6));
    if (first >= 0x20) {
      const size = reader.integer(5);
      if (begun || size > TABLE_MAX)
        throw new Http2Error('COMPRESSION_ERROR', 'a table size that is not allowed');
      this.#limit = size;
      this.#evict();
      return undefined;
    }
    return this.#literal(reader, 4);
  }

  #literal(reader: BlockReader, prefix: number): Header {
    const index = reader.integer(prefix);
    const name = index === 0 ? reader.text() : this.#at(index)[0];
    return [name, reader.text()];
  }

  #at(index: number): Header {
    const found = index <= STATIC.length ? STATIC[index - 1] : this.#dynamic[index - 1 - STATIC.length];
    if (found === undefined) throw new Http2Error('COMPRESSION_ERROR', `no header at index ${index}`);
    return found;
  }

  #remember(header: Header): Header {
    this.#dynamic.unshift(header);
    this.#size += sizeOf(header);
    this.#evict();
    return header;
  }

  #evict(): void {
    while (this.#size > this.#limit) {
      const last = this.#dynamic.pop();
      this.#size -= last === undefined ? this.#size : sizeOf(last);
    }
  }
}

function sizeOf([name, value]: Header): number {
  return name.length + value.length + OVERHEAD;
}

class BlockReader {
  readonly #block: Buffer;
  #at = 0;

  constructor(block: Buffer) {
    this.#block = block;
  }

  get done(): boolean {
    return this.#at >= this.#block.length;
  }

  peek(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw new Http2Error('COMPRESSION_ERROR', 'a header block is cut short');
    return byte;
  }

  #byte(): number {
    const byte = this.peek();
    this.#at += 1;
    return byte;
  }

  /** RFC 7541, section 5.1. Nothing here is longer than a frame, so three continued octets are too many for a real one. */
  integer(prefix: number): number {
    const mask = 2 ** prefix - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 1; shift <= 2 ** 21; shift *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
    throw new Http2Error('COMPRESSION_ERROR', 'a number too large for a header block');
  }

  /** RFC 7541, section 5.2. */
  text(): string {
    const huffman = this.peek() >= 0x80;
    const length = this.integer(7);
    const bytes = this.#block.subarray(this.#at, this.#at + length);
    if (bytes.length < length) throw new Http2Error('COMPRESSION_ERROR', 'a header block is cut short');
    this.#at += length;
    return huffman ? decodeHuffman(bytes) : bytes.toString('latin1');
  }
}

/**
 * A header block that needs no memory of earlier ones: indexed where the static table holds name and value, literal
 * without indexing otherwise. Values are octets, as latin1.
 */
export function encodeHeaders(headers: readonly Header[]): Buffer {
  const out: number[] = [];
  for (const [name, value] of headers) {
    const whole = STATIC.findIndex(([known, fixed]) => known === name && fixed === value && value !== '');
    if (whole >= 0) {
      putInteger(out, 0x80, 7, whole + 1);
      continue;
    }
    const named = STATIC.findIndex(([known]) => known === name) + 1;
    putInteger(out, 0, 4, named);
    if (named === 0) putText(out, name);
    putText(out, value);
  }
  return Buffer.from(out);
}

function putInteger(out: number[], pattern: number, prefix: number, value: number): void {
  const mask = 2 ** prefix - 1;
  if (value < mask) {
    out.push(pattern | value);
    return;
  }
  out.push(pattern | mask);
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80);
  out.push(rest);
}

function putText(out: number[], text: string): void {
  putInteger(out, 0, 7, text.length);
  for (const octet of Buffer.from(text, 'latin1')) out.push(octet);
}
