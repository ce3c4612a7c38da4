/** HTTP/2's frames (RFC 9113, sections 4 and 6): how they are cut from and laid into a connection's bytes. */

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** END_STREAM and ACK are the same bit on different frames. */
export const Flag = {
  none: 0,
  endStream: 0x1,
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** RFC 9113, section 7. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;
export type ErrorName = keyof typeof ErrorCode;

/** The peer broke the protocol; the connection ends with this code. */
export class Http2Error extends Error {
  override readonly name = 'Http2Error';
  readonly code: ErrorName;

  constructor(code: ErrorName, message: string) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** What a client says first (RFC 9113, section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/** SETTINGS_MAX_FRAME_SIZE is left at its initial value, in both directions. */
export const FRAME_MAX = 16_384;
const HEADER = 9;
/** The highest bit of a stream's number and of a window's increment is reserved. */
export const MASK_31 = 0x7fff_ffff;

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, HEADER);
  return bytes;
}

/** A payload of big-endian 32-bit numbers. */
export function uint32s(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index);
  return bytes;
}

/** Cuts a connection's bytes into frames, however they arrive. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #preface: boolean;

  constructor(options: { readonly preface: boolean }) {
    this.#preface = options.preface;
  }

  /** @returns the frames that are whole now @throws Http2Error */
  push(chunk: Buffer): Frame[] {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#preface) {
      const said = rest.subarray(0, PREFACE.length);
      if (!PREFACE.subarray(0, said.length).equals(said))
        throw new Http2Error('PROTOCOL_ERROR', 'the connection does not begin as HTTP/2 does');
      if (said.length === PREFACE.length) {
        this.#preface = false;
        rest = rest.subarray(PREFACE.length);
      }
    }
    const frames: Frame[] = [];
    while (!this.#preface && rest.length >= HEADER) {
      const length = rest.readUIntBE(0, 3);
      if (length > FRAME_MAX) throw new Http2Error('FRAME_SIZE_ERROR', `a frame of ${length} bytes`);
      const end = HEADER + length;
      if (rest.length < end) break;
      const stream = rest.readUInt32BE(5) & MASK_31;
      frames.push({
        type: rest.readUInt8(3),
        flags: rest.readUInt8(4),
        stream,
        payload: rest.subarray(HEADER, end),
      });
      rest = rest.subarray(end);
    }
    this.#rest = rest;
    return frames;
  }
}

/** The payload without padding and, on HEADERS, without the priority that nothing here heeds. @throws Http2Error */
export function unpadded({ type, flags, payload }: Frame): Buffer {
  let bytes = payload;
  if ((flags & Flag.padded) !== 0) {
    const padding = bytes[0] ?? Number.POSITIVE_INFINITY;
    if (padding >= bytes.length) throw new Http2Error('PROTOCOL_ERROR', 'more padding than payload');
    bytes = bytes.subarray(1, bytes.length - padding);
  }
  if (type === FrameType.headers && (flags & Flag.priority) !== 0) {
    if (bytes.length < 5) throw new Http2Error('FRAME_SIZE_ERROR', 'HEADERS too short for their priority');
    bytes = bytes.subarray(5);
  }
  return bytes;
}

/** @throws Http2Error FRAME_SIZE_ERROR where a payload of a fixed size has another */
export function expectSize(payload: Buffer, octets: number): void {
  if (payload.length !== octets)
    throw new Http2Error('FRAME_SIZE_ERROR', `${payload.length} octets where there must be ${octets}`);
}

/** Octets by which a WINDOW_UPDATE opens a window, 1 to 2^31-1. @throws Http2Error */
export function windowIncrement({ payload }: Frame): number {
  expectSize(payload, 4);
  const octets = payload.readUInt32BE(0) & MASK_31;
  if (octets === 0) throw new Http2Error('PROTOCOL_ERROR', 'a window opened by nothing');
  return octets;
}

/** The last stream that a peer which says GOAWAY has begun with. @throws Http2Error */
export function lastStreamBegun({ stream, payload }: Frame): number {
  if (stream !== 0) throw new Http2Error('PROTOCOL_ERROR', 'a farewell of a stream');
  if (payload.length < 8) throw new Http2Error('FRAME_SIZE_ERROR', 'a farewell that is cut short');
  return payload.readUInt32BE(0) & MASK_31;
}

const NAMES = new Map(Object.entries(ErrorCode).map(([name, code]) => [code as number, name as ErrorName]));

/** A code that is not known counts as INTERNAL_ERROR (RFC 9113, section 7). */
export function errorName(code: number): ErrorName {
  return NAMES.get(code) ?? 'INTERNAL_ERROR';
}
