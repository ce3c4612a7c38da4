import type { BehindDevice } from '../smmu/resolve.js';
import type { AskedVsmmu, OnOffAuto, VsmmuProperty } from '../smmu/properties.js';
import type { DomainModel, VirtualSmmu } from './domain-model.js';
import type { XmlAttribute } from './element.js';
import { parseLibvirtNumber } from './libvirt-number.js';
import type { Existing } from './options.js';
import { overrideOf, overrideValue, type OverrideProperty } from './override.js';

/** What the document says of one property, in each of the places where it can. */
export interface Written {
  readonly attribute: XmlAttribute | undefined;
  /** `ssidSize`, the spelling of KubeVirt and of a vendor's libvirt; libvirt ignores it. */
  readonly camelCase: XmlAttribute | undefined;
  readonly override: OverrideProperty | undefined;
  /** What counts: the override before the attribute. */
  readonly value: string | undefined;
}

export function writtenProperty(model: DomainModel, smmu: VirtualSmmu, property: VsmmuProperty): Written {
  const named = (name: string) => smmu.driver?.attributes.find((one) => one.uri === '' && one.local === name);
  const attribute = named(property);
  const camelCase = property === 'ssidsize' ? named('ssidSize') : undefined;
  const override = overrideOf(model.overrides, smmu.alias, property);
  const value =
    override === undefined ? (attribute ?? camelCase)?.value : overrideValueOf(model, smmu, property);
  return { attribute, camelCase, override, value };
}

function overrideValueOf(model: DomainModel, smmu: VirtualSmmu, property: VsmmuProperty): string | undefined {
  return overrideValue(model.overrides, smmu.alias, property);
}

/** Is it accelerated, as QEMU will see it? undefined: the value is one that libvirt refuses. */
export function isAccelerated(model: DomainModel, smmu: VirtualSmmu): boolean | undefined {
  const { value } = writtenProperty(model, smmu, 'accel');
  if (value === undefined || value === 'off' || value === 'false') return false;
  return value === 'on' || value === 'true' ? true : undefined;
}

/** A value that stands in the document and means nothing to libvirt or QEMU. */
export interface BadValue {
  readonly property: VsmmuProperty;
  readonly value: string;
}

export type Asked =
  | { readonly ok: true; readonly vsmmu: AskedVsmmu; readonly writeCmdqv: boolean }
  | { readonly ok: false; readonly bad: readonly BadValue[] };

/**
 * What is asked of an accelerated vSMMU. CMDQV needs QEMU 11.1 and libvirt refuses the attribute for an older one,
 * so it is written only where it stands already or the host is known to have it.
 */
export function askedOf(
  model: DomainModel,
  smmu: VirtualSmmu,
  existing: Existing,
  devices: readonly BehindDevice[],
): Asked {
  const bad: BadValue[] = [];
  const value = (property: VsmmuProperty) => {
    const written = writtenProperty(model, smmu, property).value;
    return existing === 'keep' ? (written ?? 'auto') : 'auto';
  };
  const onOffAuto = (property: VsmmuProperty): OnOffAuto => {
    const text = value(property);
    if (text === 'on' || text === 'off' || text === 'auto') return text;
    bad.push({ property, value: text });
    return 'auto';
  };
  const bits = (property: VsmmuProperty): number | 'auto' => {
    const text = value(property);
    if (text === 'auto') return text;
    const number = parseLibvirtNumber(text, 10);
    if (number === undefined || number < -1) bad.push({ property, value: text });
    // libvirt reads -1 as "absent".
    return number === undefined || number < 0 ? 'auto' : number;
  };

  const writeCmdqv =
    writtenProperty(model, smmu, 'cmdqv').value !== undefined ||
    devices.some(({ features }) => features.smmu.limits?.cmdqv === true);
  const vsmmu: AskedVsmmu = {
    accel: true,
    ats: onOffAuto('ats'),
    ril: onOffAuto('ril'),
    ssidsize: bits('ssidsize'),
    oas: bits('oas'),
    cmdqv: writeCmdqv ? onOffAuto('cmdqv') : 'off',
  };
  return bad.length > 0 ? { ok: false, bad } : { ok: true, vsmmu, writeCmdqv };
}
