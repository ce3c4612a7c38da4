import { PROBE_STEPS, type ProbeStep } from './hw-info.js';

/** One query as it was recorded; `step` tells at which call it failed, "hw-info" where it is undefined. */
export interface RecordedQuery {
  readonly bdf: string;
  readonly query: string | undefined;
  readonly size: number;
  readonly flags: number;
  readonly inType: number;
  readonly inLen: number;
  readonly rc: number;
  readonly errno: number;
  readonly step: ProbeStep | undefined;
  readonly structHex: string;
  readonly dataHex: string;
}

/** Whether nesting was allowed; `step` is where it ended, "viommu-alloc" where it went through. */
export interface RecordedNesting {
  readonly bdf: string;
  readonly step: ProbeStep;
  readonly rc: number;
  readonly errno: number;
}

/** A device that could not be asked, and why. */
export interface RecordedSilence {
  readonly bdf: string;
  readonly because: string;
  readonly remedy: string;
  readonly code: string | undefined;
}

export type RecordedItem =
  | { readonly kind: 'nesting'; readonly item: RecordedNesting }
  | { readonly kind: 'silence'; readonly item: RecordedSilence }
  | { readonly kind: 'query'; readonly item: RecordedQuery };

/**
 * One entry of hw-info.json (docs/recording-format.md). Read by hand: a schema library took as long to load and compile
 * as all else that `vsmmu probe --host` does.
 *
 * @returns a text where it is none: the first field that is wrong, and how
 */
export function parseRecordedItem(json: unknown): RecordedItem | string {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return 'it is no object';
  const fields = new Map<string, unknown>(Object.entries(json));
  return nestingOf(fields) ?? silenceOf(fields) ?? queryOf(fields);
}

type Fields = ReadonlyMap<string, unknown>;

function nestingOf(fields: Fields): RecordedItem | undefined {
  const [bdf, step, rc, errno] = ['bdf', 'step', 'rc', 'errno'].map((key) => fields.get(key));
  if (fields.get('query') !== 'nesting') return undefined;
  if (typeof bdf !== 'string' || !isStep(step) || !isInteger(rc) || !isInteger(errno)) return undefined;
  return { kind: 'nesting', item: { bdf, step, rc, errno } };
}

function silenceOf(fields: Fields): RecordedItem | undefined {
  const [bdf, because, remedy, code] = ['bdf', 'because', 'remedy', 'code'].map((key) => fields.get(key));
  if (fields.get('query') !== 'not asked' || typeof bdf !== 'string') return undefined;
  if (typeof because !== 'string' || typeof remedy !== 'string' || !isTextOrAbsent(code)) return undefined;
  return { kind: 'silence', item: { bdf, because, remedy, code } };
}

function queryOf(fields: Fields): RecordedItem | string {
  const bdf = fields.get('bdf');
  if (typeof bdf !== 'string') return 'bdf is no text';
  const [query, structHex, dataHex] = ['query', 'struct_hex', 'data_hex'].map((key) => fields.get(key));
  if (!isTextOrAbsent(query)) return 'query is no text';
  if (!isTextOrAbsent(structHex)) return 'struct_hex is no text';
  if (!isTextOrAbsent(dataHex)) return 'data_hex is no text';
  const [rc, errno, step] = ['rc', 'errno', 'step'].map((key) => fields.get(key));
  if (!isInteger(rc)) return 'rc is no whole number';
  if (!isInteger(errno)) return 'errno is no whole number';
  if (step !== undefined && !isStep(step)) return `step is none of ${PROBE_STEPS.join(', ')}`;
  const sizes = sizesOf(fields);
  if (typeof sizes === 'string') return sizes;
  return {
    kind: 'query',
    item: { bdf, query, ...sizes, rc, errno, step, structHex: structHex ?? '', dataHex: dataHex ?? '' },
  };
}

function sizesOf(fields: Fields): Pick<RecordedQuery, 'size' | 'flags' | 'inType' | 'inLen'> | string {
  const [size, flags, inType, inLen] = SIZES.map((key) => fields.get(key));
  if (isSize(size) && isSize(flags) && isSize(inType) && isSize(inLen)) return { size, flags, inType, inLen };
  return `${SIZES.find((key) => !isSize(fields.get(key))) ?? ''} is no whole number from 0 up`;
}

const SIZES = ['size', 'flags', 'in_type', 'in_len'] as const;
const STEPS: readonly unknown[] = PROBE_STEPS;

function isStep(json: unknown): json is ProbeStep {
  return STEPS.includes(json);
}

function isInteger(json: unknown): json is number {
  return Number.isSafeInteger(json);
}

function isSize(json: unknown): json is number {
  return isInteger(json) && json >= 0;
}

function isTextOrAbsent(json: unknown): json is string | undefined {
  return json === undefined || typeof json === 'string';
}
