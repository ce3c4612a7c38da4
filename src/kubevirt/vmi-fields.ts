import { VsmmuError } from '../errors.js';

/** An object of somebody else's JSON. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * Readers of a VMI's fields. Go writes an absent field as null, "" or not at all; here they are one, undefined.
 * Each throws VsmmuError VMI_MALFORMED with the field's place ("spec.domain.devices.gpus.0.name") where the field has
 * another type than KubeVirt's API gives it. A schema would say the same in less text, but takes five times as long,
 * and every VMI of a cluster passes here.
 *
 * @param place of the object that has the field, with the "." behind it
 */
export function objectIn(fields: Fields | undefined, key: string, place: string): Fields | undefined {
  const json = fields?.[key];
  return json == null ? undefined : objectOf(json, `${place}${key}`);
}

export function objectOf(json: unknown, place: string): Fields {
  if (!isFields(json)) throw malformedVmi(place, 'it is no object');
  return json;
}

export function textIn(fields: Fields | undefined, key: string, place: string): string | undefined {
  const json = fields?.[key];
  if (json == null || json === '') return undefined;
  if (typeof json !== 'string') throw malformedVmi(`${place}${key}`, 'it is no text');
  return json;
}

export function textMapIn(
  fields: Fields | undefined,
  key: string,
  place: string,
): Readonly<Record<string, string>> | undefined {
  const map = objectIn(fields, key, place);
  if (map === undefined || isTextMap(map)) return map;
  const [at = ''] = Object.entries(map).find(([, value]) => typeof value !== 'string') ?? [];
  throw malformedVmi(`${place}${key}.${at}`, 'it is no text');
}

/** More entries than any VMI has. */
const LIST_MAX = 4096;

/** @param read gets an entry, its index and its place, with the "." behind it */
export function listIn<T>(
  fields: Fields | undefined,
  key: string,
  place: string,
  read: (entry: Fields, index: number, place: string) => T,
): T[] {
  const json = fields?.[key];
  if (json == null) return [];
  if (!Array.isArray(json)) throw malformedVmi(`${place}${key}`, 'it is no array');
  if (json.length > LIST_MAX) throw malformedVmi(`${place}${key}`, `it has more than ${LIST_MAX} entries`);
  return json.map((entry: unknown, index) => {
    const at = `${place}${key}.${index}`;
    return read(objectOf(entry, at), index, `${at}.`);
  });
}

export function isFields(json: unknown): json is Fields {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function isTextMap(map: Fields): map is Readonly<Record<string, string>> {
  return Object.values(map).every((value) => typeof value === 'string');
}

/** Characters of a place in a message: a key may be as long as its writer likes. */
const PLACE_MAX = 200;

export function malformedVmi(place: string, message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('VMI_MALFORMED', message, {
    place: place === '' ? 'VirtualMachineInstance' : place.slice(0, PLACE_MAX),
    remedy: 'Send a kubevirt.io/v1 VirtualMachineInstance as JSON.',
    cause,
  });
}
