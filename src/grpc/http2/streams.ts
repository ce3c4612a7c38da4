import { Http2Error } from './frame.js';
import type { Http2Stream } from './stream.js';

/** The open streams of one connection, and which ids were used (RFC 9113, section 5.1.1: a client's are odd). */
export class Streams {
  readonly #role: 'client' | 'server';
  readonly #open = new Map<number, Http2Stream>();
  #lastOfPeer = 0;
  #next = 1;

  constructor(role: 'client' | 'server') {
    this.#role = role;
  }

  get size(): number {
    return this.#open.size;
  }

  /** What a farewell names: the newest stream of the peer that was seen. */
  get lastOfPeer(): number {
    return this.#lastOfPeer;
  }

  /** Those that are open now; they may be forgotten meanwhile. */
  all(): Http2Stream[] {
    return [...this.#open.values()];
  }

  /** Client only: the id of a stream that is about to be opened. */
  nextId(): number {
    const id = this.#next;
    this.#next += 2;
    return id;
  }

  add(stream: Http2Stream): void {
    this.#open.set(stream.id, stream);
  }

  forget(id: number): void {
    this.#open.delete(id);
  }

  /** Does the peer open a stream by this id? Then all lower ones are used, too. */
  begins(id: number): boolean {
    if (!this.#isPeers(id) || id <= this.#lastOfPeer) return false;
    this.#lastOfPeer = id;
    return true;
  }

  /** The stream, or undefined where it is over. @throws Http2Error where it never was */
  known(id: number): Http2Stream | undefined {
    const stream = this.#open.get(id);
    if (stream !== undefined) return stream;
    const over = this.#isPeers(id) ? id <= this.#lastOfPeer : id < this.#next && id % 2 === 1;
    if (id === 0 || !over)
      throw new Http2Error('PROTOCOL_ERROR', `a frame on stream ${id}, which is not open`);
    return undefined;
  }

  #isPeers(id: number): boolean {
    return this.#role === 'server' && id % 2 === 1;
  }
}
