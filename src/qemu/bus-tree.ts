import type { DeviceOption } from './device-option.js';

/** The bus of the virt machine itself. */
export const ROOT_BUS = 'pcie.0';

/** Devices that have a bus behind them, named like their id. */
const BRIDGES = new Set([
  'pcie-root-port',
  'ioh3420',
  'x3130-upstream',
  'xio3130-downstream',
  'pcie-pci-bridge',
  'pci-bridge',
]);

export function isBridge({ driver }: DeviceOption): boolean {
  return BRIDGES.has(driver) || isExpander({ driver });
}

function isExpander({ driver }: Pick<DeviceOption, 'driver'>): boolean {
  return driver === 'pxb-pcie' || driver === 'pxb-cxl';
}

/** Which root bus is above each bus of a command line. */
export class BusTree {
  readonly #above = new Map<string, string>();
  readonly #roots = new Set([ROOT_BUS]);

  constructor(devices: readonly DeviceOption[]) {
    for (const device of devices) {
      const id = device.properties.get('id');
      if (id === undefined) continue;
      if (isExpander(device)) this.#roots.add(id);
      else if (BRIDGES.has(device.driver)) this.#above.set(id, busOf(device));
    }
  }

  /** "pcie.0" or the id of a pxb-pcie; undefined for a bus that is nowhere, or in a circle. */
  rootAbove(bus: string): string | undefined {
    const passed = new Set<string>();
    let at: string | undefined = bus;
    while (at !== undefined && !this.#roots.has(at)) {
      if (passed.has(at)) return undefined;
      passed.add(at);
      at = this.#above.get(at);
    }
    return at;
  }

  isRoot(bus: string): boolean {
    return this.#roots.has(bus);
  }
}

/** QEMU puts a PCI device without `bus` on the machine's own. */
export function busOf({ properties }: DeviceOption): string {
  return properties.get('bus') ?? ROOT_BUS;
}
