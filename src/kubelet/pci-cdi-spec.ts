import type { Bdf } from '../bdf.js';
import { cdiDeviceId, writeCdiSpec } from './cdi.js';

const KIND = 'vsmmu.io/pci';
const FILE = 'vsmmu.io-pci.json';

/**
 * The CDI specification of the device plugin: one device a BDF. It must name a device for as long as a container that
 * has it may be restarted, so entries are only ever added or changed.
 */
export class PciCdiSpec {
  readonly #dir: string;
  readonly #nodes = new Map<Bdf, readonly string[]>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  idOf(bdf: Bdf): string {
    return cdiDeviceId(KIND, bdf);
  }

  /**
   * Writes the file where this changes it.
   *
   * @throws VsmmuError CDI_UNWRITABLE
   */
  put(bdf: Bdf, nodes: readonly string[]): void {
    if (this.#nodes.get(bdf)?.join() === nodes.join()) return;
    this.#nodes.set(bdf, nodes);
    this.#write();
  }

  #write(): void {
    const devices = [...this.#nodes].map(([name, deviceNodes]) => ({ name, edits: { deviceNodes } }));
    writeCdiSpec(this.#dir, FILE, KIND, devices);
  }
}
