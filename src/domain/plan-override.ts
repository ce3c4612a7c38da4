import type { Reason, SetValue } from './edit.js';
import { childrenOf, type XmlElement } from './element.js';
import { mergedEntry, onlySpaceAround, type MergedEntry } from './merge-overrides.js';
import { overrideOf, QEMU_NAMESPACE, type OverrideProperty } from './override.js';
import type { Plan, WantedOverride } from './plan.js';
import type { NewElement } from './render.js';

interface PropertyToWrite {
  readonly name: string;
  readonly type: string;
  readonly value: string | undefined;
}

/** An element that goes. */
interface Removal extends Reason {
  readonly element: XmlElement;
}

/**
 * Turns the wanted overrides into edits, in what is there: a property of the same name is corrected in place, an
 * entry of the same alias takes the new ones, several entries of one alias become one, one block holds them all.
 */
export function planOverrides(plan: Plan): void {
  const byAlias = new Map<string, WantedOverride[]>();
  for (const wanted of plan.overrides)
    byAlias.set(wanted.alias, [...(byAlias.get(wanted.alias) ?? []), wanted]);

  const removals: Removal[] = [];
  const newEntries: (readonly [alias: string, wanted: readonly WantedOverride[]])[] = [];
  for (const [alias, wanted] of byAlias) {
    const entry = plan.model.overrides.byAlias.get(alias);
    const merged = mergedEntry(plan.model.text, entry, wanted);
    if (merged !== undefined) {
      removals.push(...planMerged(plan, alias, merged, wanted));
      continue;
    }
    const missing = wanted.filter((one) => planPresent(plan, one, removals) === 'missing');
    const device = entry?.devices.at(-1);
    if (missing.length === 0) continue;
    if (device === undefined) newEntries.push([alias, missing]);
    else extendEntry(plan, device, missing);
  }
  const { blocks } = plan.model.overrides;
  if (newEntries.length > 0) addEntries(plan, blocks.at(-1), newEntries);
  planRemovals(plan, removals, newEntries.length > 0 ? blocks.at(-1) : undefined);
}

/** Corrects or removes a property where it stands. */
function planPresent(plan: Plan, wanted: WantedOverride, removals: Removal[]): 'missing' | 'planned' {
  const { alias, name, value, why } = wanted;
  const present = overrideOf(plan.model.overrides, alias, name);
  if (value !== undefined && present === undefined) return 'missing';
  if (value !== undefined && present !== undefined) correct(plan, present, wanted, value);
  else
    for (const { element, value: was } of propertiesNamed(plan, wanted))
      removals.push({ element, what: `override of ${alias}: ${name}=${was} goes`, why });
  return 'planned';
}

/** @returns what goes with it */
function planMerged(
  plan: Plan,
  alias: string,
  { home, others, properties }: MergedEntry,
  wanted: readonly WantedOverride[],
): Removal[] {
  const why = 'libvirt lets the last one of several entries count, and its schema allows one';
  const changed = changesOf(plan, alias, wanted);
  const what = [`the entries of ${alias} become one`, ...changed.map((one) => one.what)].join('; ');
  const sets = changed.flatMap((one) => one.sets);
  const gone = (element: XmlElement): Removal => ({ element, what: `an entry of ${alias} goes`, why });
  if (properties.length === 0) return [...others, home].map(gone);
  plan.edits.push(plan.layout.replace(home, entry(home.prefix, alias, properties), { what, why, sets }));
  return others.map(gone);
}

/** What becomes of wanted properties, in the words that stand for each alone. */
function changesOf(
  plan: Plan,
  alias: string,
  wanted: readonly WantedOverride[],
): (Pick<Reason, 'what'> & { readonly sets: readonly SetValue[] })[] {
  return wanted.flatMap((one) => {
    const { name, type, value } = one;
    const present = overrideOf(plan.model.overrides, alias, name);
    if (value === undefined || (present?.type === type && present.value === value)) return [];
    const what =
      present === undefined
        ? `override of ${alias} gets ${name}=${value}`
        : correction(alias, present, value);
    return [{ what, sets: setsOf([one]) }];
  });
}

function setsOf(wanted: readonly WantedOverride[]): readonly SetValue[] {
  return wanted.flatMap(({ alias, name, value }) =>
    value === undefined ? [] : [{ as: 'override', alias, name, value }],
  );
}

function correction(alias: string, { name, type, value: was }: OverrideProperty, value: string): string {
  return `override of ${alias}: ${name}=${type === 'remove' ? '(removed)' : was} becomes ${value}`;
}

function propertiesNamed(plan: Plan, { alias, name }: WantedOverride): OverrideProperty[] {
  return plan.model.overrides.byAlias.get(alias)?.properties.filter((one) => one.name === name) ?? [];
}

/** Attribute by attribute: the element may declare the namespace that it stands in. */
function correct(plan: Plan, present: OverrideProperty, wanted: WantedOverride, value: string): void {
  const { alias, name, type, why } = wanted;
  if (present.type === type && present.value === value) return;
  const { element } = present;
  const say = (attribute: string, text: string, reason: Reason) => {
    const written = element.attributes.find((one) => one.name === attribute);
    if (written?.value === text) return;
    plan.edits.push(
      written === undefined
        ? plan.layout.addAttribute(element, element.attributes.at(-1), attribute, text, reason)
        : plan.layout.setAttribute(element, written, text, reason),
    );
  };
  say('type', type, { what: `override of ${alias}: ${name} becomes a ${type}`, why });
  say('value', value, { what: correction(alias, present, value), why, sets: setsOf([wanted]) });
}

function reasonOf(alias: string, wanted: readonly WantedOverride[]): Reason {
  return {
    what: `override of ${alias} gets ${wanted.map(({ name, value }) => `${name}=${String(value)}`).join(', ')}`,
    why: [...new Set(wanted.map(({ why }) => why))].join('; '),
    sets: setsOf(wanted),
  };
}

function qualified(prefix: string, local: string): string {
  return prefix === '' ? local : `${prefix}:${local}`;
}

function property(prefix: string, { name, type, value }: PropertyToWrite): NewElement {
  const attributes: (readonly [string, string])[] = [
    ['name', name],
    ['type', type],
  ];
  // libvirt refuses a value beside "remove".
  if (type !== 'remove') attributes.push(['value', value ?? '']);
  return { name: qualified(prefix, 'property'), attributes };
}

function frontend(prefix: string, properties: readonly PropertyToWrite[]): NewElement {
  const children = properties.map((one) => property(prefix, one));
  return { name: qualified(prefix, 'frontend'), attributes: [], children };
}

function entry(prefix: string, alias: string, properties: readonly PropertyToWrite[]): NewElement {
  const children = [frontend(prefix, properties)];
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
  const all = entries.flatMap(([, wanted]) => wanted);
  const what = entries.map(([alias, wanted]) => reasonOf(alias, wanted).what).join('; ');
  const reason = { ...reasonOf('', all), what };
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

/** Takes elements out, and with them the entry and the block that would be left empty. */
function planRemovals(plan: Plan, removals: readonly Removal[], keep: XmlElement | undefined): void {
  const gone = new Set(removals.map(({ element }) => element));
  const emptied = (element: XmlElement) => {
    const kept = element.children.filter((child) => !gone.has(child));
    return element !== keep && kept.length === 0 && onlySpaceAround(plan.model.text, element);
  };
  for (const { element } of removals)
    for (let up = element.parent; up !== undefined && up !== plan.model.root && emptied(up); up = up.parent)
      gone.add(up);
  const outermost = [...gone].filter(({ parent }) => parent === undefined || !gone.has(parent));
  for (const element of outermost) {
    const inside = removals.filter(
      (one) => one.element.start >= element.start && one.element.end <= element.end,
    );
    const what = inside.map((one) => one.what).join('; ');
    plan.edits.push(plan.layout.remove(element, { what, why: inside[0]?.why ?? '' }));
  }
}
