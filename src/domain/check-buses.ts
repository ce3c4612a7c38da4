import type { VirtualSmmu } from './domain-model.js';
import type { XmlElement } from './element.js';
import type { Plan } from './plan.js';
import { isImplicitPci } from './implicit-pci.js';
import { emptyPortsBelow, PCIE_ROOT, type Topology } from './topology.js';

/**
 * Checks on which bus each accelerated vSMMU stands; libvirt 12.8 lets all of these pass, and QEMU or the guest
 * then fail later.
 */
export function checkBuses(plan: Plan, topology: Topology, accelerated: readonly VirtualSmmu[]): void {
  if (accelerated.length > 0) checkAddresses(plan);
  for (const device of topology.lost)
    plan.refuse(
      device.element,
      'PCI_CIRCLE',
      `${device.alias}: its bus leads through controllers that stand behind each other`,
      'Correct the <address> of the PCI controllers above it.',
    );
  for (const smmu of accelerated) checkBus(plan, topology, smmu);
}

/** libvirt would refuse such a domain when it is defined; until then nobody knows where the device stands. */
export function checkAddresses(plan: Plan): void {
  for (const { alias, placement } of plan.model.passthrough)
    if (placement.kind === 'unreadable')
      plan.refuse(
        placement.element,
        'DOMAIN_VALUE',
        `${alias}: its guest address is none that libvirt would take`,
        "Give domain 0, bus (0 to 0xff), slot (0 to 0x1f) and function (0 to 7) in decimal, or in hexadecimal with '0x'.",
      );
}

function checkBus(plan: Plan, topology: Topology, smmu: VirtualSmmu): void {
  const { pciBus, alias, element } = smmu;
  if (pciBus === undefined) {
    plan.refuse(
      element,
      'IOMMU_BUS',
      `${alias} has accel='on' without pciBus: libvirt drops accel silently then`,
      "Give <driver pciBus='N'>, the index of a pcie-expander-bus or 0 for pcie-root.",
    );
    return;
  }
  const controller = plan.model.controllers.get(pciBus);
  const kind = controller?.model ?? (pciBus === PCIE_ROOT ? 'pcie-root' : undefined);
  if (kind !== 'pcie-root' && kind !== 'pcie-expander-bus')
    plan.refuse(
      element,
      'IOMMU_BUS',
      `${alias}: pciBus='${pciBus}' is ${kind === undefined ? 'no PCI controller' : `a ${kind}`}`,
      'A vSMMU stands on pcie-root or on a pcie-expander-bus; name the index of one.',
    );
  const other = plan.model.smmus.find((one) => one.pciBus === pciBus);
  if (other !== undefined && other !== smmu)
    plan.refuse(
      element,
      'IOMMU_BUS',
      `${alias} and ${other.alias} both stand on pciBus='${pciBus}'`,
      'Leave one vSMMU on a bus.',
    );
  checkUnplaced(plan, topology, smmu, pciBus);
}

/** A device without a guest address may land in any empty port; behind which vSMMU, only libvirt will know. */
function checkUnplaced(plan: Plan, topology: Topology, smmu: VirtualSmmu, pciBus: number): void {
  const alone = (topology.behind.get(smmu) ?? []).length === 0;
  const empty = pciBus === PCIE_ROOT ? [] : emptyPortsBelow(plan.model, pciBus);
  if (!alone && empty.length === 0) return;
  for (const device of plan.model.passthrough)
    if (device.placement.kind === 'chosen-by-libvirt')
      plan.refuse(
        device.element,
        'HOSTDEV_UNPLACED',
        `${device.alias} has no guest address and may or may not end up behind ${smmu.alias} (pciBus='${pciBus}')`,
        "Give the device an <address type='pci' bus='…'/> below the bus where it belongs.",
      );
  const [port] = empty;
  const stray = plan.model.devices.find((device) => isImplicitPci(device) && !isPassthrough(plan, device));
  if (port !== undefined && stray !== undefined)
    plan.warn(
      port.element,
      'EMULATED_DEVICE',
      `port ${port.index} behind ${smmu.alias} is empty: libvirt may put the <${stray.local}> without address there`,
      'Give emulated devices addresses on other buses, or remove the port.',
    );
}

function isPassthrough(plan: Plan, element: XmlElement): boolean {
  return plan.model.passthrough.some((device) => device.element === element);
}
