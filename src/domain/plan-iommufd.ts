import type { PassthroughDevice } from './domain-model.js';
import { childOf, type XmlAttribute, type XmlElement } from './element.js';
import type { Plan } from './plan.js';

const WHY = 'QEMU takes only devices with an iommufd backend behind an accelerated vSMMU';

/** Plans that the devices reach QEMU through iommufd: the domain's own switch, and each hostdev's. */
export function planIommufd(plan: Plan, devices: readonly PassthroughDevice[]): void {
  if (devices.length === 0) return;
  planSwitch(plan);
  for (const { element, alias } of devices) {
    const driver = childOf(element, 'driver');
    const own = driver?.attributes.find(({ name }) => name === 'iommufd');
    if (own?.value === 'yes') continue;
    if (own !== undefined && plan.options.existing === 'keep') {
      plan.refuse(
        driver ?? element,
        'IOMMUFD_REQUIRED',
        `${alias} says iommufd='${own.value}' and is to stand behind an accelerated vSMMU`,
        "Set iommufd='yes', or use --existing replace.",
      );
      continue;
    }
    planOwn(plan, element, driver, own);
  }
}

/** `<iommufd enabled='yes'/>` makes libvirt create the object that the devices share. */
function planSwitch(plan: Plan): void {
  const { root } = plan.model;
  const present = childOf(root, 'iommufd');
  if (present === undefined) {
    const what = "<domain> gets <iommufd enabled='yes'/>";
    const element = { name: 'iommufd', attributes: [['enabled', 'yes']] } as const;
    plan.edits.push(plan.layout.append(root, [element], { what, why: WHY }));
    return;
  }
  const enabled = present.attributes.find(({ name }) => name === 'enabled');
  if (enabled === undefined || enabled.value === 'yes') return;
  if (plan.options.existing === 'keep')
    plan.refuse(present, 'IOMMUFD_REQUIRED', "the domain says iommufd enabled='no'", `Remove it: ${WHY}.`);
  else
    plan.edits.push(
      plan.layout.setAttribute(present, enabled, 'yes', {
        what: "<iommufd> becomes enabled='yes'",
        why: WHY,
      }),
    );
}

function planOwn(
  plan: Plan,
  element: XmlElement,
  driver: XmlElement | undefined,
  own: XmlAttribute | undefined,
): void {
  const reason = { what: `<${element.local}> gets iommufd='yes'`, why: WHY };
  const { layout, edits } = plan;
  if (driver !== undefined && own !== undefined) {
    edits.push(layout.setAttribute(driver, own, 'yes', reason));
  } else if (element.local === 'interface') {
    // The domain's switch covers interfaces.
    return;
  } else if (driver !== undefined) {
    edits.push(layout.addAttribute(driver, driver.attributes.at(-1), 'iommufd', 'yes', reason));
  } else {
    const added = { name: 'driver', attributes: [['iommufd', 'yes']] } as const;
    const source = childOf(element, 'source');
    // Beside <source>: libxml2's validator, which libvirt uses, wants the two together.
    edits.push(
      source === undefined
        ? layout.append(element, [added], reason)
        : layout.insertBefore(source, added, reason),
    );
  }
}
