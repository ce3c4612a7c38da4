import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** Protobuf's scalars, as far as the contracts in proto/ use them; an enum is an int32. */
type Scalar = 'string' | 'bytes' | 'bool' | 'int32' | 'int64' | 'uint64';
type Element = Scalar | (() => Codec);
type Label = 'repeated' | 'map' | 'optional';
/** Number, name in TypeScript, type of the value or of one element. A map's keys are strings. */
export type Field = readonly [number: number, name: string, element: Element, label?: Label];

interface Codec {
  readonly typeName: string;
  readonly fields: readonly Field[];
}

/** A message and its wire format (protobuf.dev/programming-guides/encoding). */
export interface MessageType<T> extends Codec {
  /** Never set: it ties the type to the table of fields. */
  readonly shape?: T;
}

/** What a message can be made of: whatever is left out has its default. */
export type Init<T> = T extends string | number | bigint | boolean | Uint8Array | undefined
  ? T
  : T extends readonly (infer E)[]
    ? readonly Init<E>[]
    : { readonly [K in keyof T]?: Init<T[K]> | undefined };

/** Called by generated code only, whose tables fit their types. */
export function messageType<T>(typeName: string, fields: readonly Field[]): MessageType<T> {
  return { typeName, fields };
}

/** @throws Error where a value does not fit its field, such as a number outside int64 */
export function encode<T>(type: MessageType<T>, message: Init<T>): Uint8Array {
  const writer = new BinaryWriter();
  write(writer, type, record(message, type.typeName));
  return writer.finish();
}

/** Unknown fields are skipped: a peer may be newer. @throws Error where the bytes are no such message */
export function decode<T>(type: MessageType<T>, bytes: Uint8Array): T {
  const reader = new BinaryReader(bytes);
  // The table was generated together with T.
  return read(reader, reader.len, type) as T;
}

type Values = Record<string, unknown>;

function record(value: unknown, place: string): Values {
  if (typeof value !== 'object' || value === null) throw new TypeError(`${place}: expected a message`);
  return value as Values;
}

function write(writer: BinaryWriter, { typeName, fields }: Codec, message: Values): void {
  for (const [number, name, element, label] of fields) {
    const value = message[name];
    if (value === undefined) continue;
    const place = `${typeName}.${name}`;
    if (label === 'map') writeMap(writer, number, element, record(value, place), place);
    else if (label === 'repeated') writeList(writer, number, element, value, place);
    // Without presence a default is not written; messages and optional fields have presence.
    else if (typeof element === 'function' || label === 'optional' || !isDefault(value))
      writeElement(writer, number, element, value, place);
  }
}

function isDefault(value: unknown): boolean {
  return (
    value === '' ||
    value === 0 ||
    value === 0n ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function writeList(
  writer: BinaryWriter,
  number: number,
  element: Element,
  value: unknown,
  place: string,
): void {
  if (!Array.isArray(value)) throw new TypeError(`${place}: expected a list`);
  if (!isPackable(element)) {
    for (const one of value) writeElement(writer, number, element, one, place);
  } else if (value.length > 0) {
    writer.tag(number, WireType.LengthDelimited).fork();
    for (const one of value) writeScalar(writer, element, one, place);
    writer.join();
  }
}

function writeMap(
  writer: BinaryWriter,
  number: number,
  element: Element,
  value: Values,
  place: string,
): void {
  for (const [key, one] of Object.entries(value)) {
    writer.tag(number, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writeElement(writer, 2, element, one, place);
    writer.join();
  }
}

function writeElement(
  writer: BinaryWriter,
  number: number,
  element: Element,
  value: unknown,
  place: string,
): void {
  if (typeof element === 'function') {
    writer.tag(number, WireType.LengthDelimited).fork();
    write(writer, element(), record(value, place));
    writer.join();
  } else {
    writer.tag(number, isPackable(element) ? WireType.Varint : WireType.LengthDelimited);
    writeScalar(writer, element, value, place);
  }
}

function isPackable(element: Element): element is Exclude<Scalar, 'string' | 'bytes'> {
  return typeof element === 'string' && element !== 'string' && element !== 'bytes';
}

function writeScalar(writer: BinaryWriter, kind: Scalar, value: unknown, place: string): void {
  if (kind === 'string' && typeof value === 'string') writer.string(value);
  else if (kind === 'bytes' && value instanceof Uint8Array) writer.bytes(value);
  else if (kind === 'bool' && typeof value === 'boolean') writer.bool(value);
  else if (kind === 'int32' && typeof value === 'number') writer.int32(value);
  else if (kind === 'int64' && typeof value === 'bigint') writer.int64(value);
  else if (kind === 'uint64' && typeof value === 'bigint') writer.uint64(value);
  else throw new TypeError(`${place}: expected ${kind}`);
}

const DEFAULTS: Record<Scalar, () => unknown> = {
  string: () => '',
  bytes: () => new Uint8Array(),
  bool: () => false,
  int32: () => 0,
  int64: () => 0n,
  uint64: () => 0n,
};

function empty({ fields }: Codec): Values {
  const message: Values = {};
  for (const [, name, element, label] of fields) {
    if (label === 'repeated') message[name] = [];
    else if (label === 'map') message[name] = {};
    else if (label === undefined && typeof element === 'string') message[name] = DEFAULTS[element]();
  }
  return message;
}

/** @param message what came of it before: a message that is sent in pieces is merged */
function read(reader: BinaryReader, end: number, type: Codec, message = empty(type)): Values {
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const field = type.fields.find(([own]) => own === number);
    if (field === undefined || !readField(reader, wire, field, message)) reader.skip(wire, number);
  }
  if (reader.pos > end) throw new RangeError(`${type.typeName}: a field reaches beyond its message`);
  return message;
}

/** @returns false where the wire type is none of this field's: then it counts as unknown */
function readField(
  reader: BinaryReader,
  wire: WireType,
  [, name, element, label]: Field,
  into: Values,
): boolean {
  if (label === 'repeated' && isPackable(element) && wire === WireType.LengthDelimited) {
    const list = into[name] as unknown[];
    for (const end = endOf(reader); reader.pos < end;) list.push(readScalar(reader, element));
    return true;
  }
  if (wire !== (isPackable(element) ? WireType.Varint : WireType.LengthDelimited)) return false;
  if (label === 'map') readEntry(reader, element, into[name] as Values);
  else if (label === 'repeated') (into[name] as unknown[]).push(readElement(reader, element));
  else into[name] = readElement(reader, element, into[name] as Values | undefined);
  return true;
}

function endOf(reader: BinaryReader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('a field reaches beyond the message');
  return end;
}

function readElement(reader: BinaryReader, element: Element, before?: Values): unknown {
  return typeof element === 'function'
    ? read(reader, endOf(reader), element(), before)
    : readScalar(reader, element);
}

function readScalar(reader: BinaryReader, kind: Scalar): unknown {
  switch (kind) {
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.bytes();
    case 'bool':
      return reader.bool();
    case 'int32':
      return reader.int32();
    case 'int64':
      return BigInt(reader.int64());
    case 'uint64':
      return BigInt(reader.uint64());
  }
}

function readEntry(reader: BinaryReader, element: Element, into: Values): void {
  const end = endOf(reader);
  let key = '';
  let value = typeof element === 'function' ? empty(element()) : DEFAULTS[element]();
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const fits = wire === (number === 2 && isPackable(element) ? WireType.Varint : WireType.LengthDelimited);
    if (number === 1 && fits) key = reader.string();
    else if (number === 2 && fits) value = readElement(reader, element);
    else reader.skip(wire, number);
  }
  if (reader.pos > end) throw new RangeError('a map entry reaches beyond its field');
  // A key may be "__proto__": it must become an entry, not a prototype.
  Object.defineProperty(into, key, { value, enumerable: true, configurable: true, writable: true });
}
