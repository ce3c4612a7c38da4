import type { AskedVsmmu, OnOffAuto, VsmmuProperty } from '../smmu/properties.js';
import type { BehindDevice } from '../smmu/resolve.js';
import type { DomainModel, VirtualSmmu } from './domain-model.js';
import type { XmlAttribute } from './element.js';
import { parseLibvirtNumber } from './libvirt-number.js';
import type { ResolvedOptions } from './options.js';
import type { ResolvedProperty } from './resolved-properties.js';
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
    override === undefined
      ? (attribute ?? camelCase)?.value
      : overrideValue(model.overrides, smmu.alias, property);
  return { attribute, camelCase, override, value };
}

/** Is it accelerated, as QEMU will see it? undefined: the value is one that libvirt refuses. */
export function isAccelerated(model: DomainModel, smmu: VirtualSmmu): boolean | undefined {
  const { value } = writtenProperty(model, smmu, 'accel');
  if (value === undefined || value === 'off' || value === 'false') return false;
  return value === 'on' || value === 'true' ? true : undefined;
}

/** Is it accelerated, or may it become so? Silence is a pipeline's loss; off, wherever it is said, is somebody's word. */
export function mayAccelerate(model: DomainModel, smmu: VirtualSmmu): boolean {
  const { attribute, override } = writtenProperty(model, smmu, 'accel');
  return isAccelerated(model, smmu) !== false || (attribute === undefined && override === undefined);
}

/** Who asked. */
export type Origin = 'set' | 'kept' | 'baseline' | 'auto';

/** A value that stands in the document and means nothing to libvirt or QEMU. */
export interface BadValue {
  readonly property: VsmmuProperty;
  readonly value: string;
}

export interface Asked {
  readonly vsmmu: AskedVsmmu;
  readonly origins: Readonly<Record<ResolvedProperty, Origin>>;
  readonly writeCmdqv: boolean;
  readonly bad: readonly BadValue[];
}

/**
 * What is asked of an accelerated vSMMU: what a person set, what stands and is to be kept, the fleet's baseline,
 * and else auto.
 */
export function askedOf(
  model: DomainModel,
  smmu: VirtualSmmu,
  options: ResolvedOptions,
  devices: readonly BehindDevice[],
): Asked {
  const bad: BadValue[] = [];
  const origins: Record<ResolvedProperty, Origin> = {
    cmdqv: 'auto',
    ats: 'auto',
    ril: 'auto',
    ssidsize: 'auto',
    oas: 'auto',
  };
  const value = (property: ResolvedProperty): string => {
    const kept =
      options.existing === 'keep' ? present(writtenProperty(model, smmu, property).value) : undefined;
    const candidates: readonly (readonly [Origin, string | undefined])[] = [
      ['set', options.set.vsmmu[property]],
      ['kept', kept],
      ['baseline', options.baseline?.vsmmu[property]],
    ];
    const [origin, text] = candidates.find(([, one]) => one !== undefined) ?? ['auto', undefined];
    if (text === undefined || text === 'auto') return 'auto';
    origins[property] = origin;
    return text;
  };
  const onOffAuto = (property: ResolvedProperty): OnOffAuto => {
    const text = value(property);
    if (text === 'on' || text === 'off' || text === 'auto') return text;
    bad.push({ property, value: text });
    return 'auto';
  };
  const bits = (property: ResolvedProperty): number | 'auto' => {
    const text = value(property);
    if (text === 'auto') return text;
    const number = parseLibvirtNumber(text, 10);
    if (number === undefined || number < 0) bad.push({ property, value: text });
    return number ?? 'auto';
  };

  const writeCmdqv = options.cmdqv && wantsCmdqv(model, smmu, options, devices);
  const vsmmu: AskedVsmmu = {
    accel: true,
    cmdqv: writeCmdqv ? onOffAuto('cmdqv') : 'off',
    ats: onOffAuto('ats'),
    ril: onOffAuto('ril'),
    ssidsize: bits('ssidsize'),
    oas: bits('oas'),
  };
  return { vsmmu, origins, writeCmdqv, bad };
}

/** libvirt reads -1 as "absent". */
function present(value: string | undefined): string | undefined {
  return value?.trim() === '-1' ? undefined : value;
}

/**
 * CMDQV needs QEMU 11.1 and libvirt refuses the attribute for an older one, so it is written only where it stands
 * already, was asked for, or the host is known to have it.
 */
function wantsCmdqv(
  model: DomainModel,
  smmu: VirtualSmmu,
  { set }: ResolvedOptions,
  devices: readonly BehindDevice[],
): boolean {
  return (
    set.vsmmu.cmdqv !== undefined ||
    writtenProperty(model, smmu, 'cmdqv').value !== undefined ||
    devices.some(({ features }) => features.smmu.limits?.cmdqv === true)
  );
}
