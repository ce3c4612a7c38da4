import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, VsmmuError } from '../errors.js';
import { writePublicFile } from './public-file.js';

/** Where container runtimes look for specifications that are made at run time (CDI SPEC.md). */
export const CDI_DIR = '/var/run/cdi';

/** 0.5.0 has everything used here; runtimes refuse a version they don't know. */
const CDI_VERSION = '0.5.0';

export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
}

/** What a container gets with a device. */
export interface CdiEdits {
  readonly deviceNodes?: readonly string[];
  readonly env?: readonly string[];
  readonly mounts?: readonly CdiMount[];
}

export interface CdiDevice {
  /** Letters, digits and "_-.:", an alphanumeric at both ends; a BDF and a UID are such. */
  readonly name: string;
  readonly edits: CdiEdits;
}

/** "vendor.com/class=device", as a container runtime resolves it. */
export function cdiDeviceId(kind: string, name: string): string {
  return `${kind}=${name}`;
}

/**
 * Writes a specification file as a whole. Its name tells whose it is and must end in ".json"; runtimes read every
 * such file, and one that is half written breaks all of them.
 *
 * @throws VsmmuError CDI_UNWRITABLE
 */
export function writeCdiSpec(dir: string, name: string, kind: string, devices: readonly CdiDevice[]): void {
  const path = join(dir, name);
  const spec = { cdiVersion: CDI_VERSION, kind, devices: devices.map((device) => specOf(device)) };
  try {
    writePublicFile(path, `${JSON.stringify(spec, undefined, 2)}\n`);
  } catch (cause) {
    throw new VsmmuError('CDI_UNWRITABLE', `The CDI specification cannot be written: ${messageOf(cause)}`, {
      place: path,
      remedy: `Mount ${dir} writable, with space on it.`,
      cause,
    });
  }
}

/** Removes a specification; one that is not there is no error. */
export function removeCdiSpec(dir: string, name: string): void {
  rmSync(join(dir, name), { force: true });
}

/** File names in the directory with this prefix; none where there is no directory. */
export function listCdiSpecs(dir: string, prefix: string): string[] {
  try {
    return readdirSync(dir).filter((name) => name.startsWith(prefix) && name.endsWith('.json'));
  } catch {
    return [];
  }
}

/** Device nodes by the device's name; what is not there, or is none of ours, is left out. */
export function readCdiSpec(dir: string, name: string): Map<string, readonly string[]> {
  let spec: unknown;
  try {
    spec = JSON.parse(readFileSync(join(dir, name), 'utf8'));
  } catch {
    return new Map();
  }
  return new Map(
    fieldOf(spec, 'devices').flatMap((device): [string, readonly string[]][] => {
      if (!isRecord(device) || typeof device['name'] !== 'string') return [];
      const paths = fieldOf(device['containerEdits'], 'deviceNodes').map((node) =>
        isRecord(node) ? node['path'] : undefined,
      );
      return [[device['name'], paths.filter((path) => typeof path === 'string')]];
    }),
  );
}

function fieldOf(value: unknown, name: string): unknown[] {
  const field = isRecord(value) ? value[name] : undefined;
  return Array.isArray(field) ? field : [];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function specOf({ name, edits }: CdiDevice): object {
  const { deviceNodes = [], env = [], mounts = [] } = edits;
  return {
    name,
    containerEdits: {
      ...(deviceNodes.length > 0 && {
        deviceNodes: deviceNodes.map((path) => ({ path, permissions: 'rwm' })),
      }),
      ...(env.length > 0 && { env }),
      ...(mounts.length > 0 && {
        mounts: mounts.map((mount) => ({ ...mount, options: ['ro', 'bind', 'nosuid', 'nodev'] })),
      }),
    },
  };
}
