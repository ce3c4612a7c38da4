import { childrenOf, type XmlElement } from './element.js';
import { SPACE } from './lexer.js';
import { QEMU_NAMESPACE, type OverrideEntry, type OverrideProperty } from './override.js';
import type { WantedOverride } from './plan.js';

type Said = Pick<OverrideProperty, 'name' | 'type' | 'value'>;

/** Several entries of one alias, to be written as one. */
export interface MergedEntry {
  /** Stays, with everything in it. */
  readonly home: XmlElement;
  /** Go. */
  readonly others: readonly XmlElement[];
  /** Everything that counts: what the entries say, the last word each, and what is wanted. */
  readonly properties: readonly Said[];
}

/**
 * What becomes of an alias that has several entries, or several values of one property; the schema allows one of each,
 * libvirt takes all and lets the last one count.
 * @returns undefined where there is nothing to merge, or where somebody's text or comments would be lost
 */
export function mergedEntry(
  text: string,
  entry: OverrideEntry | undefined,
  wanted: readonly WantedOverride[],
): MergedEntry | undefined {
  const home = entry?.devices.at(-1);
  if (entry === undefined || home === undefined) return undefined;
  const merged = new Map<string, Said>(entry.properties.map((property) => [property.name, property]));
  if (entry.devices.length === 1 && merged.size === entry.properties.length) return undefined;
  if (!entry.devices.every((device) => isPlain(text, device))) return undefined;
  for (const { name, type, value } of wanted)
    if (value === undefined) merged.delete(name);
    else merged.set(name, { name, type, value });
  return { home, others: entry.devices.slice(0, -1), properties: [...merged.values()] };
}

/** Nothing but properties, written as libvirt's schema has them? */
function isPlain(text: string, device: XmlElement): boolean {
  const frontends = childrenOf(device, 'frontend', QEMU_NAMESPACE);
  const properties = frontends.flatMap((frontend) => childrenOf(frontend, 'property', QEMU_NAMESPACE));
  const all = (parents: readonly XmlElement[]) => parents.flatMap(({ children }) => children).length;
  return (
    device.attributes.length === 1 &&
    frontends.every(({ attributes }) => attributes.length === 0) &&
    all([device]) === frontends.length &&
    all(frontends) === properties.length &&
    [device, ...frontends, ...properties].every((element) => onlySpaceAround(text, element)) &&
    properties.every(({ attributes }) => attributes.every(({ name }) => /^(name|type|value)$/.test(name)))
  );
}

// White space of XML (production 3): a no-break space is text, which trim() would take for nothing.
const BLANK = new RegExp(`^[${SPACE}]*$`);

/** Is there no text and no comment beside the element's children? */
export function onlySpaceAround(text: string, element: XmlElement): boolean {
  let at = element.openEnd;
  for (const child of element.children) {
    if (!BLANK.test(text.slice(at, child.start))) return false;
    at = child.end;
  }
  return BLANK.test(text.slice(at, element.closeStart));
}
