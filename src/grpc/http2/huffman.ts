import { Http2Error } from './frame.js';

/**
 * The length of each symbol's code in bits, as one digit of base 36: RFC 7541, appendix B. The codes are canonical: in
 * order of length, then of symbol, each is the one before plus one. The last symbol (256) is EOS.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u';
const EOS = 256;
const LONGEST = 30;

interface Level {
  /** The first code of this length. */
  readonly first: number;
  /** Symbols of this length, in order. */
  readonly symbols: readonly number[];
}

let levels: readonly Level[] | undefined;

function build(): readonly Level[] {
  const symbols: number[][] = Array.from({ length: LONGEST + 1 }, () => []);
  for (let symbol = 0; symbol < LENGTHS.length; symbol += 1)
    symbols[parseInt(LENGTHS.charAt(symbol), 36)]?.push(symbol);
  let next = 0;
  return symbols.map((own) => {
    const first = next;
    next = (first + own.length) * 2;
    return { first, symbols: own };
  });
}

/** @throws Http2Error COMPRESSION_ERROR where the bits are no text, or are padded wrongly */
export function decodeHuffman(bytes: Uint8Array): string {
  levels ??= build();
  const text: number[] = [];
  let [code, length] = [0, 0];
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit -= 1) {
      code = code * 2 + ((byte >> bit) & 1);
      length += 1;
      const level = levels[length];
      const symbol = level?.symbols[code - level.first];
      if (symbol === EOS || level === undefined)
        throw new Http2Error('COMPRESSION_ERROR', 'EOS within a text');
      if (symbol === undefined) continue;
      text.push(symbol);
      [code, length] = [0, 0];
    }
  }
  // Padding is the beginning of EOS, which is all ones, and less than a byte of it.
  if (length > 7 || code !== 2 ** length - 1)
    throw new Http2Error('COMPRESSION_ERROR', 'a text is padded wrongly');
  return Buffer.from(text).toString('latin1');
}
