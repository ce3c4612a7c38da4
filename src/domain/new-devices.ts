import type { NewElement } from './render.js';

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}

/** Function 0 of a slot; written as libvirt writes it. */
function pciAddress(bus: number, slot: number): NewElement {
  return {
    name: 'address',
    attributes: [
      ['type', 'pci'],
      ['domain', '0x0000'],
      ['bus', hex(bus)],
      ['slot', hex(slot)],
      ['function', '0x0'],
    ],
  };
}

/** The place of a device below a root port of its own. */
export function guestAddress(port: number): NewElement {
  return pciAddress(port, 0);
}

function controller(model: string, index: number, children: readonly NewElement[]): NewElement {
  const attributes = [
    ['type', 'pci'],
    ['index', String(index)],
    ['model', model],
  ] as const;
  return { name: 'controller', attributes, children };
}

/** Without an address: libvirt gives it a slot of pcie.0, the only bus where it can be. */
export function expanderBus(index: number, busNr: number, node: number | undefined): NewElement {
  const children: NewElement[] =
    node === undefined ? [] : [{ name: 'node', attributes: [], text: String(node) }];
  const target: NewElement = { name: 'target', attributes: [['busNr', String(busNr)]], children };
  return controller('pcie-expander-bus', index, [target]);
}

export function rootPort(index: number, bus: number, slot: number): NewElement {
  return controller('pcie-root-port', index, [pciAddress(bus, slot)]);
}

export function vsmmu(pciBus: number): NewElement {
  const driver: NewElement = {
    name: 'driver',
    attributes: [
      ['pciBus', String(pciBus)],
      ['accel', 'on'],
    ],
  };
  return { name: 'iommu', attributes: [['model', 'smmuv3']], children: [driver] };
}
