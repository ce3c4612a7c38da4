/** gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): messages in DATA, status in trailers. */
import type { Header } from './http2/hpack.js';
import { RpcError, STATUS, statusName } from './status.js';

/** gRPC's own default, which kubelet and virt-launcher keep for theirs. */
export const MESSAGE_MAX = 4 * 1024 * 1024;
/** Compressed flag and length. */
const PREFIX = 5;
/** A person reads it in a pod's events; the peer's limit of headers must hold it. */
const DETAILS_MAX = 4096;
/** setTimeout's largest; a deadline further off is none. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export const CONTENT_TYPE: Header = ['content-type', 'application/grpc'];

export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX + message.length);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, PREFIX);
  return framed;
}

/** Cuts a stream's data into messages, however they arrive. */
export class MessageReader {
  #parts: Buffer[] = [];
  #size = 0;

  /** Does something of a message wait for the rest? */
  get cutShort(): boolean {
    return this.#size > 0;
  }

  /** @throws RpcError for a message that is compressed or too long */
  push(data: Buffer): Buffer[] {
    this.#parts.push(data);
    this.#size += data.length;
    const messages: Buffer[] = [];
    for (;;) {
      if (this.#size < PREFIX) return messages;
      const head = this.#gather(PREFIX);
      if (head.readUInt8(0) !== 0)
        throw new RpcError('UNIMPLEMENTED', 'the message is compressed; only identity is understood');
      const length = head.readUInt32BE(1);
      if (length > MESSAGE_MAX)
        throw new RpcError('RESOURCE_EXHAUSTED', `a message of ${length} bytes; ${MESSAGE_MAX} are taken`);
      if (this.#size < PREFIX + length) return messages;
      const whole = this.#gather(PREFIX + length);
      messages.push(whole.subarray(PREFIX, PREFIX + length));
      this.#parts = [whole.subarray(PREFIX + length)];
      this.#size -= PREFIX + length;
    }
  }

  /** The first part, with at least so many bytes; parts are joined once a message, not once a frame. */
  #gather(bytes: number): Buffer {
    const [first] = this.#parts;
    if (first !== undefined && first.length >= bytes) return first;
    const joined = Buffer.concat(this.#parts);
    this.#parts = [joined];
    return joined;
  }
}

export function headerOf(headers: readonly Header[], name: string): string | undefined {
  return headers.find(([own]) => own === name)?.[1];
}

export function isGrpc(headers: readonly Header[]): boolean {
  return /^application\/grpc($|[+;])/.test(headerOf(headers, 'content-type') ?? '');
}

export function trailersOf(status: RpcError | undefined): Header[] {
  if (status === undefined) return [['grpc-status', '0']];
  return [
    ['grpc-status', String(STATUS[status.status])],
    ['grpc-message', percentEncoded(status.details)],
  ];
}

/** @returns undefined for OK */
export function statusOf(trailers: readonly Header[]): RpcError | undefined {
  const code = headerOf(trailers, 'grpc-status');
  if (code === undefined) return new RpcError('UNKNOWN', 'the peer ended the call without a status');
  if (code === '0') return undefined;
  return new RpcError(statusName(Number(code)), percentDecoded(headerOf(trailers, 'grpc-message') ?? ''));
}

/** Octets of UTF-8; what is not printable ASCII, and the percent sign itself, as %XX. */
function percentEncoded(text: string): string {
  const octets = Buffer.from(text.slice(0, DETAILS_MAX), 'utf8').toString('latin1');
  return octets.replace(/[^\x20-\x24\x26-\x7e]/g, (octet) => {
    return `%${octet.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
}

/** What is no %XX stays as it is: a status must not be lost for its spelling. */
function percentDecoded(text: string): string {
  const octets = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(octets, 'latin1').toString('utf8');
}

/** Milliseconds in a unit of the grpc-timeout header. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** @returns milliseconds from now; undefined: none was set, or one too far off to matter @throws RpcError */
export function timeoutOf(headers: readonly Header[]): number | undefined {
  const text = headerOf(headers, 'grpc-timeout');
  if (text === undefined) return undefined;
  const [, digits = '', unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (factor === undefined) throw new RpcError('INVALID_ARGUMENT', 'grpc-timeout is malformed');
  const ms = Number(digits) * factor;
  return ms > TIMER_MAX_MS ? undefined : ms;
}

export function timeoutHeader(ms: number): Header {
  return ['grpc-timeout', ms < 1e8 ? `${Math.max(1, Math.ceil(ms))}m` : `${Math.ceil(ms / 1000)}S`];
}
