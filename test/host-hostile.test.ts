import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { failed, succeeded, type HostSource } from '../src/host/host-source.js';
import { openLiveHost } from '../src/host/live-host.js';
import { probeHost } from '../src/host/probe.js';
import { RecordedTree } from '../src/host/recorded-tree.js';
import type { DeviceReport } from '../src/host/report.js';
import { valueOf } from '../src/smmu/answer.js';
import {
  configSpace,
  generateFunctions,
  generatedTree,
  writeEntry,
  writeTree,
  type GeneratedEntry,
  type GeneratedFunction,
} from './shim/generated-host.js';

const DIRS: string[] = [];
afterAll(() => {
  for (const name of DIRS) rmSync(name, { recursive: true, force: true });
});
function freshDir(): string {
  const dir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'vsmmu-hostile-'));
  DIRS.push(dir);
  return dir;
}

/** A generator of its own, so that a failing run can be had again from its seed. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const GARBAGE = ['', '\u0000', 'ÿþ garbage ÄÖ', '0x', '-7', '99999999999', 'x'.repeat(2 * 1024 * 1024)];

/** Does one harm to a path, or heals it. */
class Saboteur {
  count = 0;
  readonly #root: string;
  readonly #paths: readonly (readonly [string, GeneratedEntry])[];
  readonly #next: (below: number) => number;

  constructor(root: string, tree: ReadonlyMap<string, GeneratedEntry>, seed: number) {
    this.#root = root;
    this.#paths = [...tree].filter(([path]) => path.startsWith('/sys/'));
    this.#next = random(seed);
  }

  strike(): void {
    this.count += 1;
    const picked = this.#paths[this.#next(this.#paths.length)];
    if (picked === undefined) throw new Error('nothing to harm');
    const [path, entry] = picked;
    const at = join(this.#root, path);
    const kind = this.#next(8);
    if (kind === 7) {
      rmSync(dirname(at), { recursive: true, force: true });
      return;
    }
    rmSync(at, { recursive: true, force: true });
    if (kind <= 2) this.#heal(path, entry);
    else this.#harm(at, entry, kind);
  }

  #heal(path: string, entry: GeneratedEntry): void {
    try {
      writeEntry(this.#root, path, entry);
    } catch {
      // Something above it is harmed; that stays so until its own turn.
    }
  }

  #harm(at: string, entry: GeneratedEntry, kind: number): void {
    try {
      mkdirSync(dirname(at), { recursive: true });
      if (kind === 3) mkdirSync(at);
      else if (kind === 4) symlinkSync(at, at);
      else if (kind === 5) symlinkSync('../nowhere', at);
      else if (entry.kind === 'file' && typeof entry.content !== 'string')
        writeFileSync(at, entry.content.subarray(0, this.#next(entry.content.length)));
      else writeFileSync(at, GARBAGE[this.#next(GARBAGE.length)] ?? '');
    } catch {
      // As above.
    }
  }
}

/** A host that changes under the reader's hands: one strike before every fourth reading. */
function sabotaged(source: HostSource, saboteur: Saboteur): HostSource {
  let readings = 0;
  const before = <A extends unknown[], R>(read: (...args: A) => R) => {
    return (...args: A): R => {
      readings += 1;
      if (readings % 4 === 0) saboteur.strike();
      return read(...args);
    };
  };
  return {
    origin: source.origin,
    findings: source.findings,
    readText: before((path: string) => source.readText(path)),
    readBytes: before((path: string) => source.readBytes(path)),
    readLink: before((path: string) => source.readLink(path)),
    list: before((path: string) => source.list(path)),
    exists: before((path: string) => source.exists(path)),
    pciConfig: before((bdf: Parameters<HostSource['pciConfig']>[0]) => source.pciConfig(bdf)),
    devicesBeyondSysfs: () => source.devicesBeyondSysfs(),
    hwInfo: (target) => source.hwInfo(target),
    close: () => source.close(),
  };
}

/** Each answer is the true one or none; the names of those that are not. */
function inventions(device: DeviceReport, truth: GeneratedFunction): string[] {
  const cdev = truth.vfioName === undefined ? undefined : `/dev/vfio/devices/${truth.vfioName}`;
  const told: readonly (readonly [string, unknown, unknown])[] = [
    ['vendor', device.vendor, truth.vendor],
    ['device', device.device, truth.device],
    ['driver', device.driver, truth.driver],
    ['iommuGroup', valueOf(device.iommuGroup), truth.group],
    ['numaNode', valueOf(device.numaNode), truth.numa],
    ['smmu', valueOf(device.smmu), truth.smmu],
    ['atsCapability', valueOf(device.atsCapability), truth.ats],
    [
      'pasid',
      device.pasidCapability.known ? (device.pasidCapability.value?.maxWidth ?? 'none') : undefined,
      16,
    ],
    ['kernelAts', valueOf(device.kernelAts), undefined],
    ['cdev', valueOf(device.cdev), cdev],
  ];
  return told
    .filter(([, value, true_]) => value !== undefined && value !== true_)
    .map(([name, value]) => `${device.bdf} ${name} ${JSON.stringify(value)}`);
}

describe('a sysfs that changes while it is read', () => {
  const functions = generateFunctions(48);
  const truth = new Map(functions.map((one) => [one.bdf, one]));
  let root: string;
  let tree: Map<string, GeneratedEntry>;
  beforeAll(() => {
    root = freshDir();
    tree = generatedTree(functions);
    writeTree(root, tree);
  });

  test('10,000 strikes: no crash, no hang, no invented value', async () => {
    const saboteur = new Saboteur(root, tree, 20261124);
    const source = sabotaged(openLiveHost({ root, bind: false }), saboteur);
    let probes = 0;
    while (saboteur.count < 10_000) {
      const report = await probeHost(source);
      probes += 1;
      for (const device of report.devices) {
        const one = truth.get(device.bdf);
        if (one === undefined) throw new Error(`${device.bdf} was made up`);
        expect(inventions(device, one)).toEqual([]);
      }
    }
    expect(probes).toBeGreaterThan(1);
  }, 120_000);
});

/** So many real files would cost the file system more than the probe. */
function inMemory(functions: readonly GeneratedFunction[]): HostSource {
  const tree = new RecordedTree();
  const configs = new Map(functions.map((one) => [one.bdf, configSpace(one)]));
  for (const [path, entry] of generatedTree(functions)) {
    if (entry.kind !== 'file') tree.add(path, entry);
    else if (typeof entry.content === 'string') tree.add(path, { kind: 'file', content: entry.content });
  }
  const live = openLiveHost({ bind: false });
  const silent = failed<Uint8Array>('ENOENT', 'no such file');
  return {
    origin: 'memory',
    findings: [],
    readText: (path) => tree.readText(path),
    readBytes: () => silent,
    readLink: (path) => tree.readLink(path),
    list: (path) => tree.list(path),
    exists: (path) => succeeded(tree.exists(path)),
    pciConfig: (bdf) => {
      const bytes = configs.get(bdf);
      return bytes === undefined ? silent : succeeded(bytes);
    },
    devicesBeyondSysfs: () => [],
    hwInfo: (target) => live.hwInfo(target),
    close: () => Promise.resolve(),
  };
}

test('8,192 functions, 5-digit domains among them, each with its own truth', async () => {
  const functions = generateFunctions(8192);
  const report = await probeHost(inMemory(functions));
  expect(report.devices).toHaveLength(8192);
  expect(report.smmus).toHaveLength(128);
  const truth = new Map(functions.map((one) => [one.bdf, one]));
  expect(report.devices.flatMap((device) => inventions(device, truth.get(device.bdf)!))).toEqual([]);
  expect(report.devices.filter(({ atsCapability }) => !atsCapability.known)).toEqual([]);
  expect(report.devices.filter(({ bdf }) => bdf.length > '0000:00:00.0'.length).length).toBeGreaterThan(4096);
}, 120_000);
