import { parseBdf, type Bdf } from '../bdf.js';
import { ERROR_CODES, type ErrorCode } from '../error-codes.js';
import { VsmmuError, messageOf } from '../errors.js';
import { HwInfoType } from '../smmu/compatibility.js';
import { errnoName, type HwInfoReply, type NestingReply } from './hw-info.js';
import { HwInfo, HwInfoFlag, decodeHwInfo } from './iommufd-uapi.js';
import {
  parseRecordedItem,
  type RecordedNesting,
  type RecordedQuery,
  type RecordedSilence,
} from './recorded-query.js';

export interface RecordedReplies {
  readonly hwInfo: HwInfoReply;
  readonly cmdqv: HwInfoReply;
  readonly nesting: NestingReply;
}

export interface HwInfoRecording {
  readonly replies: ReadonlyMap<Bdf, RecordedReplies>;
  readonly damaged: readonly { readonly place: string; readonly reason: string }[];
}

/** @param file for messages */
export function parseHwInfoRecording(text: string, file: string): HwInfoRecording {
  const damaged: { place: string; reason: string }[] = [];
  const devices = new Map<Bdf, RecordedDevice>();
  for (const [index, item] of parseArray(text, file).entries()) {
    const place = `${file} item ${index}`;
    const reason = addItem(devices, item, place);
    if (reason !== undefined) damaged.push({ place, reason });
  }

  const replies = new Map<Bdf, RecordedReplies>();
  for (const [bdf, { queries, nesting, silence }] of devices) {
    const reply = (type: number, matches: (query: RecordedQuery) => boolean): HwInfoReply => {
      const found = queries.find(({ query }) => matches(query));
      if (found === undefined)
        return silence === undefined ? notRecorded(bdf, type) : silentReply(bdf, silence);
      const decoded = decodeQuery(found.query, bdf);
      if (decoded.damage !== undefined) damaged.push({ place: found.place, reason: decoded.damage });
      return decoded.reply;
    };
    replies.set(bdf, {
      hwInfo: reply(HwInfoType.none, isPlainQuery),
      cmdqv: reply(HwInfoType.tegra241Cmdqv, isCmdqvQuery),
      nesting:
        nesting !== undefined
          ? nestingReply(bdf, nesting)
          : silence === undefined
            ? nestingNotRecorded(bdf)
            : silentReply(bdf, silence),
    });
  }
  return { replies, damaged };
}

interface RecordedDevice {
  readonly queries: { readonly query: RecordedQuery; readonly place: string }[];
  nesting: RecordedNesting | undefined;
  silence: RecordedSilence | undefined;
}

/** @returns what is wrong with the item, or undefined when it was taken */
function addItem(devices: Map<Bdf, RecordedDevice>, item: unknown, place: string): string | undefined {
  const parsed = parseRecordedItem(item);
  if (typeof parsed === 'string') return parsed;
  const bdf = parseBdf(parsed.item.bdf);
  if (bdf === undefined) return `"${parsed.item.bdf}" is no PCI address`;
  const device = devices.get(bdf) ?? { queries: [], nesting: undefined, silence: undefined };
  devices.set(bdf, device);
  if (parsed.kind === 'nesting') device.nesting ??= parsed.item;
  else if (parsed.kind === 'silence') device.silence ??= parsed.item;
  else device.queries.push({ query: parsed.item, place });
  return undefined;
}

function parseArray(text: string, file: string): unknown[] {
  const malformed = (reason: string, place = file, cause?: unknown) =>
    new VsmmuError('RECORDING_MALFORMED', reason, {
      place,
      remedy: 'Record the host again, or remove the file: the rest of the recording can be read without it.',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed(`not JSON, perhaps cut short (${messageOf(error)})`, placeIn(text, file, error), error);
  }
  if (!Array.isArray(value)) throw malformed('not a JSON array of queries');
  return value;
}

/** V8 tells the offset of what it did not understand, and none where the text just ends. */
function placeIn(text: string, file: string, error: unknown): string {
  const offset = /position (\d+)/.exec(messageOf(error))?.[1];
  const before = text.slice(0, offset === undefined ? text.length : Number(offset)).split('\n');
  return `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

/** The query whose answer the probe uses; recordings hold edge cases beside it (short structs, short buffers). */
function isPlainQuery(query: RecordedQuery): boolean {
  const asked = query.flags === 0 && query.size >= HwInfo.size && query.query !== 'bad dev_id';
  return asked && (query.rc !== 0 || query.inLen >= HwInfo.size);
}

function isCmdqvQuery(query: RecordedQuery): boolean {
  return query.flags === HwInfoFlag.inputType && query.inType === HwInfoType.tegra241Cmdqv;
}

function silentReply(
  bdf: Bdf,
  { because, remedy, code }: RecordedSilence,
): Extract<NestingReply, { kind: 'not-asked' }> {
  const source = `IOMMU_GET_HW_INFO of ${bdf}`;
  return { kind: 'not-asked', because, remedy, source, code: isErrorCode(code) ? code : undefined };
}

function isErrorCode(text: string | undefined): text is ErrorCode {
  return text !== undefined && Object.hasOwn(ERROR_CODES, text);
}

function nestingReply(bdf: Bdf, { rc, errno, step }: RecordedNesting): NestingReply {
  const source = `nesting with ${bdf}`;
  return rc === 0 ? { kind: 'allowed', source } : { kind: 'failed', step, errno: errnoName(errno), source };
}

export function nestingNotRecorded(bdf: Bdf): NestingReply {
  return {
    kind: 'not-asked',
    because: 'the recording does not tell whether nesting was allowed',
    remedy: 'Record the host again with `vsmmu record` while the device is bound to a VFIO driver and idle.',
    source: `nesting with ${bdf}, recorded`,
    code: undefined,
  };
}

export function notRecorded(bdf: Bdf, type: number): HwInfoReply {
  return {
    kind: 'not-asked',
    because:
      type === HwInfoType.tegra241Cmdqv
        ? 'the recording has no query for a CMDQV (input type 3)'
        : 'the recording has no reply to IOMMU_GET_HW_INFO for it',
    remedy: 'Record the host again while the device is bound to a VFIO driver and idle.',
    source: `IOMMU_GET_HW_INFO of ${bdf}, recorded`,
    code: undefined,
  };
}

function decodeQuery(query: RecordedQuery, bdf: Bdf): { reply: HwInfoReply; damage?: string } {
  const source = `IOMMU_GET_HW_INFO of ${bdf}`;
  if (query.rc !== 0)
    return {
      reply: { kind: 'failed', step: query.step ?? 'hw-info', errno: errnoName(query.errno), source },
    };

  const structBytes = leadingHex(query.structHex);
  if (structBytes.length < HwInfo.size)
    return damagedReply(
      source,
      `struct_hex holds ${structBytes.length} bytes of hex, expected ${HwInfo.size}`,
    );
  const info = decodeHwInfo(structBytes);
  const wanted = Math.min(info.dataLen, query.inLen);
  const data = leadingHex(query.dataHex);
  if (data.length < wanted)
    return damagedReply(source, `data_hex holds ${data.length} bytes of hex, expected ${wanted}`);
  const reply: HwInfoReply = { kind: 'answer', ...info, data: data.subarray(0, wanted), source };
  const extra = query.dataHex.length - 2 * query.inLen;
  return extra > 0 || data.length * 2 < query.dataHex.length
    ? { reply, damage: `data_hex has text behind the hex; the first ${wanted} bytes were used` }
    : { reply };
}

function damagedReply(source: string, damage: string): { reply: HwInfoReply; damage: string } {
  const because = `its recorded reply is damaged: ${damage}`;
  return {
    damage,
    reply: {
      kind: 'not-asked',
      because,
      remedy: 'Record the host again.',
      source,
      code: 'RECORDING_DAMAGED',
    },
  };
}

/** The bytes that a string begins with in hex; a kernel log line may have got glued behind. */
function leadingHex(text: string): Uint8Array {
  const hex = /^(?:[0-9a-fA-F]{2})*/.exec(text)?.[0] ?? '';
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
