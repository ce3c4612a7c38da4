import { childrenOf } from './element.js';
import { readAddress, type VirtualSmmu } from './domain-model.js';
import type { Plan } from './plan.js';
import { freePortsBelow, PCIE_ROOT, type Topology } from './topology.js';

/**
 * Checks on which bus each accelerated vSMMU stands; libvirt 12.8 lets all of these pass, and QEMU or the guest
 * then fail later.
 */
export function checkBuses(plan: Plan, topology: Topology, accelerated: readonly VirtualSmmu[]): void {
  for (const device of topology.lost)
    plan.refuse(
      device.element,
      'PCI_CIRCLE',
      `${device.alias}: its bus leads through controllers that stand behind each other`,
      'Correct the <address> of the PCI controllers above it.',
    );
  for (const smmu of accelerated) checkBus(plan, topology, smmu);
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
  const unplaced = plan.model.passthrough.filter(({ placement }) => placement.kind === 'chosen-by-libvirt');
  if (unplaced.length === 0) return;
  const free = pciBus === PCIE_ROOT ? [] : freePortsBelow(plan.model, pciBus, occupiedBuses(plan));
  const empty = (topology.behind.get(smmu) ?? []).length === 0;
  if (free.length === 0 && !empty) return;
  for (const device of unplaced)
    plan.refuse(
      device.element,
      'HOSTDEV_UNPLACED',
      `${device.alias} has no guest address, and may or may not end up behind ${smmu.alias} (pciBus='${pciBus}')`,
      "Give the device an <address type='pci' bus='…'/> below the bus where it belongs.",
    );
}

function occupiedBuses(plan: Plan): Set<number> {
  const buses = new Set<number>();
  for (const list of childrenOf(plan.model.root, 'devices'))
    for (const device of list.children) {
      const bus = readAddress(device)?.bus;
      if (bus !== undefined) buses.add(bus);
    }
  return buses;
}
