import {
  readAddress,
  type DomainModel,
  type PassthroughDevice,
  type PciController,
  type VirtualSmmu,
} from './domain-model.js';

/** Index of pcie.0, the bus of the machine itself. */
export const PCIE_ROOT = 0;

const OWN_ROOT_BUS = new Set(['pcie-root', 'pci-root', 'pcie-expander-bus', 'pci-expander-bus']);

/** Where a bus hangs: below the root bus with this index, or in a circle of controllers that libvirt refuses. */
export type RootBus = { readonly index: number } | { readonly circle: readonly number[] };

/**
 * Climbs from a bus to the root bus above it: root ports, switches and bridges lead up through their own address,
 * pcie.0 and expander buses are at the top.
 *
 * A controller that the document does not have, or has without an address, is one that libvirt adds or places
 * itself; it does so on pcie.0.
 */
export function rootBusOf(controllers: ReadonlyMap<number, PciController>, bus: number): RootBus {
  const passed: number[] = [];
  let at = bus;
  for (;;) {
    if (passed.includes(at)) return { circle: passed };
    const controller = controllers.get(at);
    if (controller === undefined) return { index: PCIE_ROOT };
    if (OWN_ROOT_BUS.has(controller.model)) return { index: at };
    passed.push(at);
    at = controller.bus ?? PCIE_ROOT;
  }
}

export interface Topology {
  /** Devices behind each vSMMU, in libvirt's order. */
  readonly behind: ReadonlyMap<VirtualSmmu, readonly PassthroughDevice[]>;
  /** Devices whose address leads in a circle. */
  readonly lost: readonly PassthroughDevice[];
}

/**
 * Which passed-through devices stand behind which vSMMU. A device without a guest address counts as on pcie.0:
 * there libvirt adds a root port for it, unless one is empty somewhere (`emptyPortsBelow`).
 */
export function readTopology(model: DomainModel): Topology {
  const behind = new Map<VirtualSmmu, PassthroughDevice[]>(model.smmus.map((smmu) => [smmu, []]));
  const byBus = new Map<number | undefined, VirtualSmmu>();
  for (const smmu of model.smmus) if (!byBus.has(smmu.pciBus)) byBus.set(smmu.pciBus, smmu);
  const lost: PassthroughDevice[] = [];

  for (const device of model.passthrough) {
    if (device.placement.kind === 'hidden') continue;
    const bus = device.placement.kind === 'at' ? device.placement.address.bus : PCIE_ROOT;
    const root = rootBusOf(model.controllers, bus);
    if ('circle' in root) {
      lost.push(device);
      continue;
    }
    const smmu = byBus.get(root.index);
    if (smmu !== undefined) behind.get(smmu)?.push(device);
  }
  return { behind, lost };
}

/**
 * Ports below a root bus with nothing in them. libvirt fills empty ports in the order of their indexes with devices
 * that have no address, below an expander bus as well (12.8).
 */
export function emptyPortsBelow(model: DomainModel, rootBus: number): readonly PciController[] {
  const occupied = new Set(model.devices.map((device) => readAddress(device)?.bus));
  return [...model.controllers.values()].filter(({ index, model: kind }) => {
    if (kind !== 'pcie-root-port' && kind !== 'pcie-switch-downstream-port') return false;
    const root = rootBusOf(model.controllers, index);
    return !occupied.has(index) && 'index' in root && root.index === rootBus;
  });
}
