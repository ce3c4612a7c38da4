import { childrenOf, type XmlElement } from './element.js';
import type { Reason } from './layout.js';
import { overrideOf, QEMU_NAMESPACE, type OverrideProperty } from './override.js';
import type { Plan, WantedOverride } from './plan.js';
import type { NewElement } from './render.js';

/**
 * Turns the wanted overrides into edits, in what is there: a property of the same name is corrected in place, an
 * entry of the same alias takes the new ones, one block holds them all.
 */
export function planOverrides(plan: Plan): void {
  const { blocks, byAlias } = plan.model.overrides;
  const missing = new Map<string, WantedOverride[]>();
  const removed: OverrideProperty[] = [];
  for (const wanted of plan.overrides) {
    const present = overrideOf(plan.model.overrides, wanted.alias, wanted.name);
    if (wanted.value === undefined) {
      removed.push(...propertiesNamed(plan, wanted));
    } else if (present === undefined) {
      missing.set(wanted.alias, [...(missing.get(wanted.alias) ?? []), wanted]);
    } else {
      correct(plan, present, wanted, wanted.value);
    }
  }
  const newEntries: (readonly [alias: string, wanted: readonly WantedOverride[]])[] = [];
  for (const [alias, wanted] of missing) {
    const device = byAlias.get(alias)?.devices.at(-1);
    if (device === undefined) newEntries.push([alias, wanted]);
    else extendEntry(plan, device, wanted);
  }
  if (newEntries.length > 0) addEntries(plan, blocks.at(-1), newEntries);
  removeProperties(plan, removed, newEntries.length > 0 ? blocks.at(-1) : undefined);
}

function propertiesNamed(plan: Plan, { alias, name }: WantedOverride): OverrideProperty[] {
  return plan.model.overrides.byAlias.get(alias)?.properties.filter((one) => one.name === name) ?? [];
}

function correct(plan: Plan, present: OverrideProperty, wanted: WantedOverride, value: string): void {
  const { alias, name, type, why } = wanted;
  if (present.type === type && present.value === value) return;
  const what = `override of ${alias}: ${name}=${present.type === 'remove' ? '(removed)' : present.value} becomes ${value}`;
  const written = present.element.attributes.find((one) => one.name === 'value');
  const edit =
    present.type === type && written !== undefined
      ? plan.layout.setAttribute(present.element, written, value, { what, why })
      : plan.layout.replace(present.element, property(present.element.prefix, wanted, value), { what, why });
  plan.edits.push(edit);
}

function reasonOf(alias: string, wanted: readonly WantedOverride[]): Reason {
  return {
    what: `override of ${alias} gets ${wanted.map(({ name, value }) => `${name}=${String(value)}`).join(', ')}`,
    why: [...new Set(wanted.map(({ why }) => why))].join('; '),
  };
}

function qualified(prefix: string, local: string): string {
  return prefix === '' ? local : `${prefix}:${local}`;
}

function property(prefix: string, { name, type }: WantedOverride, value: string): NewElement {
  return {
    name: qualified(prefix, 'property'),
    attributes: [
      ['name', name],
      ['type', type],
      ['value', value],
    ],
  };
}

function frontend(prefix: string, wanted: readonly WantedOverride[]): NewElement {
  const children = wanted.map((one) => property(prefix, one, one.value ?? ''));
  return { name: qualified(prefix, 'frontend'), attributes: [], children };
}

function entry(prefix: string, alias: string, wanted: readonly WantedOverride[]): NewElement {
  const children = [frontend(prefix, wanted)];
  return { name: qualified(prefix, 'device'), attributes: [['alias', alias]], children };
}

function extendEntry(plan: Plan, device: XmlElement, wanted: readonly WantedOverride[]): void {
  const present = childrenOf(device, 'frontend', QEMU_NAMESPACE).at(-1);
  const reason = reasonOf(wanted[0]?.alias ?? '', wanted);
  plan.edits.push(
    present === undefined
      ? plan.layout.append(device, [frontend(device.prefix, wanted)], reason)
      : plan.layout.append(present, frontend(present.prefix, wanted).children ?? [], reason),
  );
}

function addEntries(
  plan: Plan,
  block: XmlElement | undefined,
  entries: readonly (readonly [string, readonly WantedOverride[]])[],
): void {
  const reason = {
    what: entries.map(([alias, wanted]) => reasonOf(alias, wanted).what).join('; '),
    why: reasonOf(
      '',
      entries.flatMap(([, wanted]) => wanted),
    ).why,
  };
  const { root } = plan.model;
  if (block !== undefined) {
    const children = entries.map(([alias, wanted]) => entry(block.prefix, alias, wanted));
    plan.edits.push(plan.layout.append(block, children, reason));
    return;
  }
  const prefix = boundPrefix(root) ?? bindPrefix(plan);
  const children = entries.map(([alias, wanted]) => entry(prefix, alias, wanted));
  const override = { name: qualified(prefix, 'override'), attributes: [], children };
  plan.edits.push(plan.layout.append(root, [override], reason));
}

/** A prefix that the root binds to QEMU's namespace already. */
function boundPrefix(root: XmlElement): string | undefined {
  return root.attributes.find((one) => one.name.startsWith('xmlns:') && one.value === QEMU_NAMESPACE)?.local;
}

/** Binds "qemu", or where the root uses that for something else, the first free qemu1, qemu2, ... */
function bindPrefix(plan: Plan): string {
  const { root } = plan.model;
  const taken = (name: string) => root.attributes.some((one) => one.name === `xmlns:${name}`);
  let prefix = 'qemu';
  for (let number = 1; taken(prefix); number++) prefix = `qemu${number}`;
  const what = `<domain> binds prefix ${prefix} to QEMU's namespace`;
  const why = 'libvirt takes qemu:override from this namespace only';
  plan.edits.push(
    plan.layout.addAttribute(root, root.attributes.at(-1), `xmlns:${prefix}`, QEMU_NAMESPACE, { what, why }),
  );
  return prefix;
}

/** Takes properties out, and with them the entry and the block that would be left empty. */
function removeProperties(
  plan: Plan,
  removed: readonly OverrideProperty[],
  keep: XmlElement | undefined,
): void {
  const gone = new Set<XmlElement>(removed.map(({ element }) => element));
  const emptied = (element: XmlElement) => {
    const kept = element.children.filter((child) => !gone.has(child));
    return element !== keep && kept.length === 0 && onlySpaceAround(plan.model.text, element);
  };
  for (const { element } of removed) {
    for (let up = element.parent; up !== undefined && up !== plan.model.root && emptied(up); up = up.parent)
      gone.add(up);
  }
  const outermost = [...gone].filter(({ parent }) => parent === undefined || !gone.has(parent));
  for (const element of outermost) {
    const inside = removed.filter(
      (one) => one.element.start >= element.start && one.element.end <= element.end,
    );
    const what = `<${element.name}> goes: ${inside.map(({ name, value }) => `${name}=${value}`).join(', ')}`;
    const why = inside
      .map(
        (one) => plan.overrides.find((wanted) => wanted.name === one.name && wanted.value === undefined)?.why,
      )
      .find((reason) => reason !== undefined);
    plan.edits.push(plan.layout.remove(element, { what, why: why ?? '' }));
  }
}

/** No text or comment of anybody's would go with the element. */
function onlySpaceAround(text: string, element: XmlElement): boolean {
  let at = element.openEnd;
  for (const child of element.children) {
    if (text.slice(at, child.start).trim() !== '') return false;
    at = child.end;
  }
  return text.slice(at, element.closeStart).trim() === '';
}
