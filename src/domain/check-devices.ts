import { parseCpuset } from './cpuset.js';
import { readAddress, type DomainModel, type PassthroughDevice, type VirtualSmmu } from './domain-model.js';
import { attribute, childOf, type XmlElement } from './element.js';
import { isImplicitPci } from './implicit-pci.js';
import { usesIommufd } from './iommufd.js';
import { guestCells } from './numa.js';
import type { Plan } from './plan.js';
import { PCIE_ROOT, rootBusOf } from './topology.js';

/** Several iommus must all be smmuv3 with a pciBus; libvirt 12.8 reports another mix and then goes on with it. */
export function checkMix(plan: Plan): void {
  const { iommus, smmus } = plan.model;
  if (iommus.length < 2) return;
  for (const element of iommus) {
    const smmu = smmus.find((one) => one.element === element);
    if (smmu === undefined)
      plan.refuse(
        element,
        'IOMMU_MIX',
        `an <iommu model='${attribute(element, 'model') ?? ''}'> stands beside others`,
        "Where there are several, each must be model='smmuv3' with a pciBus of its own.",
      );
    else if (smmu.pciBus === undefined)
      plan.refuse(
        element,
        'IOMMU_MIX',
        `${smmu.alias} has no pciBus and stands beside others: libvirt drops it, or makes it the machine's`,
        "Give <driver pciBus='N'>, or leave one <iommu> only.",
      );
  }
}

/** QEMU: "Emulated endpoint devices are not allowed when using arm-smmuv3,accel=on". Bridges and ports are. */
export function checkEmulated(plan: Plan, accelerated: readonly VirtualSmmu[]): void {
  const passthrough = new Set(plan.model.passthrough.map(({ element }) => element));
  for (const device of plan.model.devices) {
    if (passthrough.has(device) || isPciPart(device)) continue;
    const bus = readAddress(device)?.bus ?? (isImplicitPci(device) ? PCIE_ROOT : undefined);
    if (bus === undefined) continue;
    const root = rootBusOf(plan.model.controllers, bus);
    const smmu = accelerated.find(({ pciBus }) => 'index' in root && pciBus === root.index);
    if (smmu !== undefined)
      plan.refuse(
        device,
        'EMULATED_DEVICE',
        `<${device.local}> is no PCI device of the host and stands behind ${smmu.alias}, which is accelerated`,
        `Move it to another bus: QEMU lets only passed-through devices stand behind pciBus='${String(smmu.pciBus)}'.`,
      );
  }
}

/** Root ports, switches, bridges and expander buses may stand behind an accelerated vSMMU. */
function isPciPart(device: XmlElement): boolean {
  return device.local === 'controller' && attribute(device, 'type') === 'pci';
}

/** QEMU: "vfio-pci endpoint devices without an iommufd backend not allowed when using arm-smmuv3,accel=on". */
export function withoutIommufd(
  model: DomainModel,
  behind: readonly PassthroughDevice[],
): readonly PassthroughDevice[] {
  return behind.filter((device) => !usesIommufd(model.root, device.element));
}

/** A Generic Initiator for a cell that isn't there: libvirt passes it on, QEMU refuses to start. */
export function checkNodesets(plan: Plan, devices: readonly PassthroughDevice[]): void {
  const cells = guestCells(plan.model.root);
  for (const device of devices) {
    const acpi = childOf(device.element, 'acpi');
    const nodeset = attribute(acpi, 'nodeset');
    if (acpi === undefined || nodeset === undefined) continue;
    const nodes = parseCpuset(nodeset);
    const missing = [...(nodes ?? [])].filter((node) => !cells.has(node));
    if (nodes === undefined || missing.length > 0)
      plan.refuse(
        acpi,
        'NODESET',
        nodes === undefined
          ? `${device.alias}: nodeset='${nodeset}' is no set of nodes`
          : `${device.alias}: nodeset='${nodeset}' names no guest NUMA cell: ${missing.join(', ')}`,
        'Name cells that stand in <cpu><numa>, or leave <acpi> out.',
      );
  }
}
