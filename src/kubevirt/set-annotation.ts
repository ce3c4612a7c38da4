import { NO_WISHES, parseWishes, type Wishes } from '../domain/wishes.js';
import type { AskedVsmmu, OnOffAuto } from '../smmu/properties.js';
import { SET_ANNOTATION } from './annotations.js';
import type { Vmi } from './vmi.js';

/** Properties of every vSMMU that the user spoke of. */
export type AskedByUser = Readonly<Partial<Omit<AskedVsmmu, 'accel'>>>;

/**
 * What a VMI's user asks for in annotation vsmmu.io/set.
 *
 * @throws VsmmuError WISH_MALFORMED
 */
export function wishesOfVmi({ annotations }: Pick<Vmi, 'annotations'>): Wishes {
  const text = annotations?.[SET_ANNOTATION];
  return text === undefined ? NO_WISHES : parseWishes([text], `metadata.annotations[${SET_ANNOTATION}]`);
}

export function askedByUser({ vsmmu }: Pick<Wishes, 'vsmmu'>): AskedByUser {
  const { ats, ril, cmdqv, ssidsize, oas } = vsmmu;
  return {
    ...(ats === undefined ? {} : { ats: onOff(ats) }),
    ...(ril === undefined ? {} : { ril: onOff(ril) }),
    ...(cmdqv === undefined ? {} : { cmdqv: onOff(cmdqv) }),
    ...(ssidsize === undefined ? {} : { ssidsize: bits(ssidsize) }),
    ...(oas === undefined ? {} : { oas: bits(oas) }),
  };
}

/** parseWishes lets nothing else in. */
function onOff(text: string): OnOffAuto {
  return text === 'on' || text === 'off' ? text : 'auto';
}

function bits(text: string): number | 'auto' {
  return text === 'auto' ? text : Number(text);
}
