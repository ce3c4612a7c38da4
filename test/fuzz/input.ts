/**
 * A fuzzer's bytes: first a few that choose among options, then the input proper. '0' is the first of up to four
 * options, so that a corpus file reads like "0000<domain…".
 */
export class Input {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  pick<T>(options: readonly [T, ...T[]]): T {
    const byte = this.#bytes[this.#at++] ?? '0'.charCodeAt(0);
    return options[byte % options.length] ?? options[0];
  }

  /** A number from 0 to 255; 48 where the input is at its end. */
  number(): number {
    return this.#bytes[this.#at++] ?? '0'.charCodeAt(0);
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next bytes, as many as there are. */
  take(count: number): Uint8Array {
    const taken = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += taken.length;
    return taken;
  }

  rest(): Uint8Array {
    return this.take(this.#bytes.length);
  }

  /** Bytes that are no UTF-8 become U+FFFD, as where a program reads a file. */
  text(): string {
    return Buffer.from(this.rest()).toString('utf8');
  }
}
