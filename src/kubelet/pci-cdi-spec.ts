import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseBdf, type Bdf } from '../bdf.js';
import { cdiDeviceId, writeCdiSpec } from './cdi.js';

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
    const path = join(this.#dir, FILE);
    const written = (this.#written ??= readSpec(path));
    const changed = [...nodes].some(([bdf, paths]) => written.get(bdf)?.join() !== paths.join());
    // A specification without devices is none for a runtime.
    if (!changed && (written.size === 0 || existsSync(path))) return;
    const all = new Map([...written, ...nodes]);
    const devices = [...all].map(([name, deviceNodes]) => ({ name, edits: { deviceNodes } }));
    writeCdiSpec(this.#dir, FILE, KIND, devices);
    this.#written = all;
  }
}

/** What an earlier agent wrote; a file that is missing, or is none of ours, is written anew. */
function readSpec(path: string): NodesOfDevice {
  let spec: unknown;
  try {
    spec = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return new Map();
  }
  return new Map(fieldOf(spec, 'devices').flatMap((device) => entryOf(device)));
}

function entryOf(device: unknown): [Bdf, readonly string[]][] {
  if (!isRecord(device) || typeof device['name'] !== 'string') return [];
  const bdf = parseBdf(device['name']);
  const paths = fieldOf(device['containerEdits'], 'deviceNodes').map((node) =>
    isRecord(node) ? node['path'] : undefined,
  );
  return bdf === undefined ? [] : [[bdf, paths.filter((path) => typeof path === 'string')]];
}

function fieldOf(value: unknown, name: string): unknown[] {
  const field = isRecord(value) ? value[name] : undefined;
  return Array.isArray(field) ? field : [];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
