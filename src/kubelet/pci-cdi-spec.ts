import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseBdf, type Bdf } from '../bdf.js';
import { cdiDeviceId, readCdiSpec, writeCdiSpec } from './cdi.js';

const KIND = 'vsmmu.io/pci';
const FILE = 'vsmmu.io-pci.json';

export type NodesOfDevice = ReadonlyMap<Bdf, readonly string[]>;

/**
 * The CDI specification of the device plugin: one device a BDF. It must name a device for as long as a container that
 * has it may be restarted, so entries are only ever added or changed, also over a restart of the agent.
 */
export class PciCdiSpec {
  readonly #dir: string;
  /** What the file says; undefined: not looked at yet. */
  #written: NodesOfDevice | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  idOf(bdf: Bdf): string {
    return cdiDeviceId(KIND, bdf);
  }

  /**
   * Writes the file where this changes it, or where it is gone: others clean up in its folder.
   *
   * @throws VsmmuError CDI_UNWRITABLE
   */
  put(nodes: NodesOfDevice): void {
    const written = (this.#written ??= readWritten(this.#dir));
    const changed = [...nodes].some(([bdf, paths]) => written.get(bdf)?.join() !== paths.join());
    // A specification without devices is none for a runtime.
    if (!changed && (written.size === 0 || existsSync(join(this.#dir, FILE)))) return;
    const all = new Map([...written, ...nodes]);
    const devices = [...all].map(([name, deviceNodes]) => ({ name, edits: { deviceNodes } }));
    writeCdiSpec(this.#dir, FILE, KIND, devices);
    this.#written = all;
  }
}

/** What an earlier agent wrote; a file that is missing, or is none of ours, is written anew. */
function readWritten(dir: string): NodesOfDevice {
  return new Map(
    [...readCdiSpec(dir, FILE)].flatMap(([name, paths]): [Bdf, readonly string[]][] => {
      const bdf = parseBdf(name);
      return bdf === undefined ? [] : [[bdf, paths]];
    }),
  );
}
