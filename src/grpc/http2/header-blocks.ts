import { Flag, type Frame, Http2Error, unpadded } from './frame.js';
import { HeaderDecoder, HEADERS_MAX, type Header } from './hpack.js';

/** What HEADERS and the CONTINUATIONs behind it say together. */
export interface HeaderBlock {
  readonly stream: number;
  /** Nothing follows on the stream. */
  readonly end: boolean;
  readonly headers: readonly Header[];
}

/** Compressed, a list that is still taken may not be longer than this. */
const BLOCK_MAX = 4 * HEADERS_MAX;

/** Puts a peer's header blocks together; each is decoded whatever becomes of it, as later ones build on it. */
export class HeaderBlocks {
  readonly #decoder = new HeaderDecoder();
  #open: { readonly first: Frame; readonly parts: Buffer[]; size: number } | undefined;

  /** The stream whose block is not ended: nothing but its continuation may come then. */
  get open(): number | undefined {
    return this.#open?.first.stream;
  }

  /** @returns the block, where this frame ends it @throws Http2Error */
  begin(first: Frame): HeaderBlock | undefined {
    const part = unpadded(first);
    this.#open = { first, parts: [part], size: part.length };
    return this.#endAt(first);
  }

  continue(next: Frame): HeaderBlock | undefined {
    if (this.#open === undefined) throw new Http2Error('PROTOCOL_ERROR', 'a continuation of nothing');
    this.#open.parts.push(next.payload);
    this.#open.size += next.payload.length;
    if (this.#open.size > BLOCK_MAX)
      throw new Http2Error('ENHANCE_YOUR_CALM', `a header block beyond ${BLOCK_MAX} octets`);
    return this.#endAt(next);
  }

  #endAt(frame: Frame): HeaderBlock | undefined {
    if (this.#open === undefined || (frame.flags & Flag.endHeaders) === 0) return undefined;
    const { first, parts } = this.#open;
    this.#open = undefined;
    return {
      stream: first.stream,
      end: (first.flags & Flag.endStream) !== 0,
      headers: this.#decoder.decode(Buffer.concat(parts)),
    };
  }
}
