import type { VsmmuProperty } from '../smmu/properties.js';
import { writtenProperty, type Written } from './asked.js';
import type { VirtualSmmu } from './domain-model.js';
import type { SetValue } from './edit.js';
import type { XmlAttribute, XmlElement } from './element.js';
import type { Plan, WantedOverride } from './plan.js';
import type { ResolvedProperty } from './resolved-properties.js';

/** The order in which libvirt itself writes the attributes (12.8.0). */
const LIBVIRT_ORDER = ['pciBus', 'accel', 'cmdqv', 'ats', 'ril', 'ssidsize', 'ssidSize', 'oas'] as const;

/**
 * Plans one resolved property of a vSMMU, in the places that the target asks for. A place that holds a value
 * already is corrected whatever the target: a document must not say two things of one property.
 */
export function planAttribute(
  plan: Plan,
  smmu: VirtualSmmu,
  property: VsmmuProperty,
  value: string,
  why: string,
): void {
  const written = writtenProperty(plan.model, smmu, property);
  if (smmu.driver !== undefined)
    new DriverAttributes(plan, smmu.alias, smmu.driver, why).plan(property, written, value);
  if (plan.options.target !== 'native' || written.override !== undefined)
    plan.overrides.push({ alias: smmu.alias, ...asOverride(property, value), why });
}

/** QEMU wants a boolean for accel, and strings for the properties that can be auto. */
function asOverride(property: VsmmuProperty, value: string): Pick<WantedOverride, 'name' | 'type' | 'value'> {
  return property === 'accel'
    ? { name: property, type: 'bool', value: String(value === 'on') }
    : { name: property, type: 'string', value };
}

/** Plans that no place says anything of the property. */
export function planAttributeRemoval(
  plan: Plan,
  smmu: VirtualSmmu,
  property: ResolvedProperty,
  why: string,
): void {
  const { attribute, camelCase, override } = writtenProperty(plan.model, smmu, property);
  for (const present of [attribute, camelCase])
    if (smmu.driver !== undefined && present !== undefined)
      plan.edits.push(
        plan.layout.removeAttribute(smmu.driver, present, {
          what: `<driver> loses ${present.name}='${present.value}'`,
          why,
        }),
      );
  if (override !== undefined)
    plan.overrides.push({ alias: smmu.alias, name: property, type: 'string', value: undefined, why });
}

/** How a property stands in the result, in words. */
export function writtenAs(plan: Plan, smmu: VirtualSmmu, property: ResolvedProperty, value: string): string {
  const { attribute, camelCase, override } = writtenProperty(plan.model, smmu, property);
  const { target } = plan.options;
  const places: string[] = [];
  if (target !== 'override' || attribute !== undefined || camelCase !== undefined)
    places.push(...attributeNames(plan, property).map((name) => `<driver ${name}='${value}'>`));
  if (target !== 'native' || override !== undefined)
    places.push(`<qemu:override> ${smmu.alias} ${property}=${value}`);
  return places.join(', ');
}

function attributeNames(plan: Plan, property: VsmmuProperty): readonly string[] {
  if (property !== 'ssidsize') return [property];
  return plan.options.spelling === 'both' ? ['ssidsize', 'ssidSize'] : [plan.options.spelling];
}

/** Changes to the attributes of one `<driver>`. */
class DriverAttributes {
  readonly #plan: Plan;
  readonly #alias: string;
  readonly #driver: XmlElement;
  readonly #why: string;

  constructor(plan: Plan, alias: string, driver: XmlElement, why: string) {
    this.#plan = plan;
    this.#alias = alias;
    this.#driver = driver;
    this.#why = why;
  }

  plan(property: VsmmuProperty, { attribute, camelCase }: Written, value: string): void {
    const present = [attribute, camelCase].filter((one) => one !== undefined);
    if (this.#plan.options.target === 'override' && present.length === 0) return;

    const names = attributeNames(this.#plan, property);
    const spare = present.filter(({ name }) => !names.includes(name));
    for (const name of names) {
      const there = present.find((one) => one.name === name);
      const renamed = there === undefined ? spare.shift() : undefined;
      if (there !== undefined) this.#set(there, value);
      else if (renamed !== undefined) this.#rename(renamed, name, value);
      else this.#add(name, value);
    }
    for (const stale of spare) this.#remove(stale, names);
  }

  #set(there: XmlAttribute, value: string): void {
    if (there.value === value) return;
    const what = `<driver> ${there.name}='${there.value}' becomes '${value}'`;
    const reason = { what, why: this.#why, sets: this.#sets(there.name, value) };
    this.#plan.edits.push(this.#plan.layout.setAttribute(this.#driver, there, value, reason));
  }

  #rename(stale: XmlAttribute, name: string, value: string): void {
    const what = `<driver> ${stale.name}='${stale.value}' becomes ${name}='${value}'`;
    const why = `${this.#why}; this libvirt spells it ${name}`;
    const reason = { what, why, sets: this.#sets(name, value) };
    this.#plan.edits.push(this.#plan.layout.setAttribute(this.#driver, stale, value, reason, name));
  }

  #add(name: string, value: string): void {
    const what = `<driver> gets ${name}='${value}'`;
    const reason = { what, why: this.#why, sets: this.#sets(name, value) };
    this.#plan.edits.push(
      this.#plan.layout.addAttribute(this.#driver, this.#precedent(name), name, value, reason),
    );
  }

  #sets(name: string, value: string): readonly SetValue[] {
    return [{ as: 'attribute', alias: this.#alias, name, value }];
  }

  #remove(stale: XmlAttribute, names: readonly string[]): void {
    const what = `<driver> loses ${stale.name}='${stale.value}'`;
    const why = `${names.join(' and ')} says it`;
    this.#plan.edits.push(this.#plan.layout.removeAttribute(this.#driver, stale, { what, why }));
  }

  /** The present attribute that comes last before the new one in libvirt's order. */
  #precedent(name: string): XmlAttribute | undefined {
    const order = (one: string) => (LIBVIRT_ORDER as readonly string[]).indexOf(one);
    return this.#driver.attributes
      .filter((one) => one.uri === '' && order(one.name) >= 0 && order(one.name) < order(name))
      .sort((a, b) => order(b.name) - order(a.name))[0];
  }
}
