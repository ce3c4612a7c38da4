import { readAddress, type DomainModel } from './domain-model.js';
import { attribute, childOf } from './element.js';
import { parseLibvirtNumber } from './libvirt-number.js';

/** Highest index of a PCI controller, and highest PCI bus number. */
const BUS_MAX = 255;
const SLOT_MAX = 31;

/** What is still free in a domain's PCI topology; what is taken here stays taken. */
export class FreeBuses {
  #nextIndex: number;
  /** Expander buses take numbers from the top; the machine's own buses count up from 0. */
  #lowestBusNumber: number;
  readonly #lowestAllowed: number;
  readonly #slots = new Map<number, Set<number>>();

  constructor(model: DomainModel) {
    // A bus that only an address names is one that libvirt makes a root port for.
    const buses = model.devices.map((device) => readAddress(device)?.bus ?? 0);
    const used = [...model.controllers.keys(), ...buses];
    this.#nextIndex = Math.max(0, ...used) + 1;
    const expanders = [...model.controllers.values()].filter(({ model: kind }) =>
      kind.endsWith('expander-bus'),
    );
    const numbers = expanders.map(({ element }) =>
      parseLibvirtNumber(attribute(childOf(element, 'target'), 'busNr') ?? '', 0),
    );
    this.#lowestBusNumber = Math.min(BUS_MAX + 1, ...numbers.filter((number) => number !== undefined));
    this.#lowestAllowed = model.controllers.size + model.passthrough.length + 1;
    for (const device of model.devices) {
      const address = readAddress(device);
      if (address !== undefined) this.#slotsOf(address.bus).add(address.slot);
    }
  }

  takeIndex(): number | undefined {
    return this.#nextIndex > BUS_MAX ? undefined : this.#nextIndex++;
  }

  /**
   * The number for an expander bus that needs this many buses, itself included. Even, as libvirt's own choice is.
   * @returns undefined where the machine's own buses would be in the way
   */
  takeBusNumbers(count: number): number | undefined {
    const number = (this.#lowestBusNumber - count) & ~1;
    if (number < this.#lowestAllowed) return undefined;
    this.#lowestBusNumber = number;
    return number;
  }

  takeSlot(bus: number): number | undefined {
    const taken = this.#slotsOf(bus);
    // Slot 0 of pcie.0 is the host bridge.
    for (let slot = bus === 0 ? 1 : 0; slot <= SLOT_MAX; slot++)
      if (!taken.has(slot)) {
        taken.add(slot);
        return slot;
      }
    return undefined;
  }

  #slotsOf(bus: number): Set<number> {
    const slots = this.#slots.get(bus) ?? new Set<number>();
    this.#slots.set(bus, slots);
    return slots;
  }
}
