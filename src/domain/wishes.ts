import { parseBdf, type Bdf } from '../bdf.js';
import { ExitStatus, VsmmuError } from '../errors.js';
import type { OnOffAuto } from '../smmu/properties.js';
import { RESOLVED_PROPERTIES, type ResolvedProperty } from './resolved-properties.js';

/** What a person set: `--set`, or the annotation `vsmmu.io/set`. Kept and checked, never changed. */
export interface Wishes {
  /** For every vSMMU of the domain. */
  readonly vsmmu: Readonly<Partial<Record<ResolvedProperty, string>>>;
  /** vfio-pci `ats` of every device. */
  readonly deviceAts: OnOffAuto | undefined;
  /** vfio-pci `ats` of single devices; these count before `deviceAts`. */
  readonly atsOf: ReadonlyMap<Bdf, OnOffAuto>;
}

export const NO_WISHES: Wishes = { vsmmu: {}, deviceAts: undefined, atsOf: new Map() };

/**
 * Reads "ril=off", "ssidsize=16,oas=44", "device.ats=off", "0009:01:00.0.ats=off".
 * @param place where they were written, for messages
 * @throws VsmmuError WISH_MALFORMED, with the usage exit status
 */
export function parseWishes(texts: readonly string[], place = '--set'): Wishes {
  const vsmmu: Partial<Record<ResolvedProperty, string>> = {};
  const atsOf = new Map<Bdf, OnOffAuto>();
  let deviceAts: OnOffAuto | undefined;
  for (const text of texts.flatMap((list) => list.split(','))) {
    const wish = text.trim();
    if (wish === '') continue;
    const [key = '', value = '', ...rest] = wish.split('=').map((part) => part.trim());
    const property = RESOLVED_PROPERTIES.find((one) => one === key);
    const device = key.endsWith('.ats') ? key.slice(0, -'.ats'.length) : undefined;
    const bdf = device === undefined ? undefined : parseBdf(device);
    const ats = onOffAuto(value);
    if (rest.length > 0) throw malformed(wish, place);
    if (property !== undefined && isValue(property, value)) vsmmu[property] = value;
    else if (device === 'device' && ats !== undefined) deviceAts = ats;
    else if (bdf !== undefined && ats !== undefined) atsOf.set(bdf, ats);
    else throw malformed(wish, place);
  }
  return { vsmmu, deviceAts, atsOf };
}

function onOffAuto(value: string): OnOffAuto | undefined {
  return value === 'on' || value === 'off' || value === 'auto' ? value : undefined;
}

function isValue(property: ResolvedProperty, value: string): boolean {
  if (value === 'auto') return true;
  return property === 'ssidsize' || property === 'oas'
    ? /^\d{1,2}$/.test(value)
    : value === 'on' || value === 'off';
}

function malformed(wish: string, place: string): VsmmuError {
  return new VsmmuError('WISH_MALFORMED', `"${wish.slice(0, 80)}" sets nothing that vsmmu knows`, {
    place,
    remedy:
      'Set cmdqv, ats or ril to on, off or auto; ssidsize or oas to a number or auto; ' +
      'device.ats or <BDF>.ats to on, off or auto.',
    exitStatus: ExitStatus.usage,
  });
}
