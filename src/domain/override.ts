import { attribute, childrenOf, type XmlElement } from './element.js';

/** libvirt matches this namespace by its URI, never by a prefix. */
export const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';

/** `<qemu:property>` of a device's frontend. */
export interface OverrideProperty {
  readonly element: XmlElement;
  readonly name: string;
  readonly type: string;
  readonly value: string;
}

/** What `<qemu:override>` says of one alias. libvirt reads blocks and entries in turn, and the last one wins. */
export interface OverrideEntry {
  readonly devices: readonly XmlElement[];
  readonly properties: readonly OverrideProperty[];
}

export interface Overrides {
  readonly blocks: readonly XmlElement[];
  readonly byAlias: ReadonlyMap<string, OverrideEntry>;
}

export function readOverrides(root: XmlElement): Overrides {
  const blocks = childrenOf(root, 'override', QEMU_NAMESPACE);
  const byAlias = new Map<string, { devices: XmlElement[]; properties: OverrideProperty[] }>();
  for (const device of blocks.flatMap((block) => childrenOf(block, 'device', QEMU_NAMESPACE))) {
    const alias = attribute(device, 'alias') ?? '';
    const entry = byAlias.get(alias) ?? { devices: [], properties: [] };
    byAlias.set(alias, entry);
    entry.devices.push(device);
    for (const frontend of childrenOf(device, 'frontend', QEMU_NAMESPACE))
      entry.properties.push(...childrenOf(frontend, 'property', QEMU_NAMESPACE).map(readProperty));
  }
  return { blocks, byAlias };
}

function readProperty(element: XmlElement): OverrideProperty {
  const of = (name: string) => attribute(element, name) ?? '';
  return { element, name: of('name'), type: of('type'), value: of('value') };
}

/** The one that counts. */
export function overrideOf(
  overrides: Overrides,
  alias: string,
  property: string,
): OverrideProperty | undefined {
  return overrides.byAlias.get(alias)?.properties.findLast(({ name }) => name === property);
}

/** Its value; undefined where there is none, or where it takes the property away. */
export function overrideValue(overrides: Overrides, alias: string, property: string): string | undefined {
  const found = overrideOf(overrides, alias, property);
  return found === undefined || found.type === 'remove' ? undefined : found.value;
}
