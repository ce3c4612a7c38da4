import { writtenProperty } from './asked.js';
import { attribute, childOf } from './element.js';
import type { VirtualSmmu } from './domain-model.js';
import { parseLibvirtNumber } from './libvirt-number.js';
import type { Plan } from './plan.js';
import { RESOLVED_PROPERTIES } from './resolved-properties.js';

/** Attributes that libvirt refuses, or ignores without a word. */
export function checkAttributes(plan: Plan): void {
  for (const smmu of plan.model.smmus) {
    checkSpelling(plan, smmu);
    checkBesideAccel(plan, smmu);
    for (const property of ['accel', ...RESOLVED_PROPERTIES] as const) {
      const { attribute: written } = writtenProperty(plan.model, smmu, property);
      const number = property === 'ssidsize' || property === 'oas';
      const valid =
        written === undefined ||
        (number
          ? parseLibvirtNumber(written.value, 10) !== undefined
          : written.value === 'on' || written.value === 'off');
      if (!valid)
        plan.refuse(
          smmu.driver ?? smmu.element,
          'DOMAIN_VALUE',
          `${smmu.alias}: libvirt refuses ${property}='${written.value}'`,
          written.value === 'auto'
            ? 'libvirt knows no auto: leave the attribute out, or have vsmmu rewrite resolve it.'
            : number
              ? 'Give a decimal number.'
              : 'Give on or off.',
        );
    }
  }
}

/** libvirt looks at attributes alone, and at off and 0 as at any value; -1 is absent to it. */
function checkBesideAccel(plan: Plan, smmu: VirtualSmmu): void {
  if (attribute(smmu.driver, 'accel') === 'on') return;
  const others = RESOLVED_PROPERTIES.filter((property) => {
    const value = attribute(smmu.driver, property);
    return value !== undefined && parseLibvirtNumber(value, 10) !== -1;
  });
  if (others.length > 0)
    plan.refuse(
      smmu.driver ?? smmu.element,
      'DOMAIN_VALUE',
      `${smmu.alias}: libvirt refuses ${others.join(', ')} without accel='on' beside ${others.length === 1 ? 'it' : 'them'}`,
      "Set accel='on', or leave the others out.",
    );
}

function checkSpelling(plan: Plan, smmu: VirtualSmmu): void {
  const { camelCase, attribute: lowerCase } = writtenProperty(plan.model, smmu, 'ssidsize');
  if (camelCase === undefined || lowerCase !== undefined) return;
  plan.refuse(
    smmu.driver ?? smmu.element,
    'IGNORED',
    `${smmu.alias}: libvirt ignores ssidSize='${camelCase.value}'; its name is ssidsize`,
    "Have vsmmu rewrite spell it, unless this libvirt is a vendor's build that reads ssidSize.",
  );
}

/** An override for an alias that no device has does nothing, and libvirt does not say so. */
export function checkAliases(plan: Plan): void {
  const { model } = plan;
  const known = new Set([...model.smmus, ...model.passthrough].map(({ alias }) => alias));
  for (const device of model.devices) {
    const alias = attribute(childOf(device, 'alias'), 'name');
    if (alias?.startsWith('ua-') === true) known.add(alias);
  }
  for (const [alias, { devices }] of model.overrides.byAlias) {
    // Aliases of other kinds of device are numbered by libvirt in ways that don't concern vSMMUs.
    const ours = /^(hostdev|iommu)\d+$|^ua-/.test(alias);
    const [element] = devices;
    if (ours && !known.has(alias) && element !== undefined)
      plan.refuse(
        element,
        'IGNORED',
        `no device has the alias ${alias}; libvirt ignores this override`,
        'Name the final alias of a device: its own "ua-..." one, or hostdev0, hostdev1, iommu0, ...',
      );
  }
}
