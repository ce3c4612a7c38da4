/** Just enough of ASN.1 DER (X.690) to write X.509 certificates. */
export type Der = Buffer;

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

export function tagged(tag: number, content: Uint8Array): Der {
  return Buffer.concat([Buffer.from([tag, ...length(content.length)]), content]);
}

function length(bytes: number): number[] {
  if (bytes < 0x80) return [bytes];
  const digits: number[] = [];
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return [0x80 | digits.length, ...digits];
}

export const sequence = (...items: readonly Der[]): Der => tagged(TAG.sequence, Buffer.concat(items));
export const set = (...items: readonly Der[]): Der => tagged(TAG.set, Buffer.concat(items));
export const octetString = (content: Uint8Array): Der => tagged(TAG.octetString, content);
export const utf8String = (text: string): Der => tagged(TAG.utf8String, Buffer.from(text, 'utf8'));
export const boolean = (value: boolean): Der => tagged(TAG.boolean, Buffer.from([value ? 0xff : 0]));

/** A non-negative integer from its big-endian bytes: a leading zero byte keeps the sign bit clear. */
export function unsignedInteger(bytes: Uint8Array): Der {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  const padded = (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits;
  return tagged(TAG.integer, padded);
}

/** @param unused bits at the end of the last byte that carry nothing */
export function bitString(content: Uint8Array, unused = 0): Der {
  return tagged(TAG.bitString, Buffer.concat([Buffer.from([unused]), content]));
}

/** @param dotted "1.2.840.10045.4.3.2" */
export function objectIdentifier(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return tagged(TAG.objectIdentifier, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const digits = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}

/** RFC 5280 section 4.1.2.5: two-digit years to 2049, four digits from then on; whole seconds in UTC. */
export function time(date: Date): Der {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050
    ? tagged(TAG.utcTime, Buffer.from(digits.slice(2), 'latin1'))
    : tagged(TAG.generalizedTime, Buffer.from(digits, 'latin1'));
}

/** [number] EXPLICIT, constructed. */
export const explicit = (number: number, content: Der): Der => tagged(0xa0 | number, content);
/** [number] IMPLICIT of a primitive type. */
export const implicit = (number: number, content: Uint8Array): Der => tagged(0x80 | number, content);
