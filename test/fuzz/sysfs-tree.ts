import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { openLiveHost } from '../../src/host/live-host.js';
import { probeHost } from '../../src/host/probe.js';
import type { DeviceReport } from '../../src/host/report.js';
import { generatedTree, generateFunctions, writeEntry, writeTree } from '../shim/generated-host.js';
import { Input } from './input.js';

const FUNCTIONS = generateFunctions(4);
const TREE = generatedTree(FUNCTIONS);
const PATHS = [...TREE.keys()];
const EDITS_MAX = 12;

let root: string | undefined;

/** One host for all runs, in memory where that can be had; a run puts back what it changed. */
function hostRoot(): string {
  if (root !== undefined) return root;
  const made = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'vsmmu-fuzz-'));
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  writeTree(made, TREE);
  return (root = made);
}

/**
 * A host's sysfs as files and links, some of them changed to the fuzzer's bytes: the probe neither fails nor hangs,
 * and tells nothing but what a plain reading of the same file says.
 */
export async function fuzz(data: Uint8Array): Promise<void> {
  const at = hostRoot();
  const touched = edit(at, new Input(data));
  try {
    const report = await probeHost(openLiveHost({ root: at, bind: false }));
    for (const device of report.devices) expectRead(at, device);
  } finally {
    for (const path of touched) {
      rmSync(join(at, path), { recursive: true, force: true });
      const entry = TREE.get(path);
      if (entry !== undefined) writeEntry(at, path, entry);
    }
  }
}

/** Each edit: which path, what becomes of it, how many bytes of content. @returns the paths */
function edit(at: string, input: Input): ReadonlySet<string> {
  const touched = new Set<string>();
  for (let count = 0; count < EDITS_MAX && !input.atEnd; count += 1) {
    const path = PATHS[input.number() % PATHS.length] ?? '';
    const kind = input.pick(['file', 'link', 'directory', 'nothing']);
    const content = input.take(input.number());
    touched.add(path);
    const place = join(at, path);
    rmSync(place, { recursive: true, force: true });
    mkdirSync(dirname(place), { recursive: true });
    if (kind === 'file') writeFileSync(place, content);
    else if (kind === 'directory') mkdirSync(place);
    else if (kind === 'link') symlinkSync(target(content), place);
  }
  return touched;
}

/** Any link target that the kernel takes, and none that leads out of the tree to a file that never ends. */
function target(content: Uint8Array): string {
  const text = Buffer.from(content).toString('utf8').replaceAll('\0', '').replace(/^\/+/, '');
  return text === '' ? '.' : text;
}

function expectRead(at: string, device: DeviceReport): void {
  const home = join(at, '/sys/bus/pci/devices', device.bdf);
  const file = (name: string) => readFileSync(join(home, name), 'utf8').trim();
  const link = (name: string) => readlinkSync(join(home, name));
  const { vendor, driver, smmu, iommuGroup, numaNode } = device;
  if (vendor !== undefined) assert.equal(idOf(home, 'vendor', 'v'), vendor);
  if (device.device !== undefined) assert.equal(idOf(home, 'device', 'd'), device.device);
  if (driver !== undefined) assert.ok(link('driver').endsWith(`/drivers/${driver}`));
  if (smmu.known) assert.ok(link('iommu').endsWith(smmu.value));
  if (iommuGroup.known) assert.equal(Number(link('iommu_group').split('/').at(-1)), iommuGroup.value);
  if (numaNode.known) assert.equal(Number(file('numa_node')), numaNode.value ?? -1);
}

/** An id as `modalias` has it, behind its letter, where that names ids at all; else as its own file has it. */
function idOf(home: string, name: string, letter: string): number {
  const alias = textOf(join(home, 'modalias'));
  const id = new RegExp(`^\\s*pci:.*?${letter}([0-9A-F]{8})`).exec(alias)?.[1];
  const whole = /^pci:(?:[vds]+[0-9A-F]{8}){4}bc[0-9A-F]{2}sc[0-9A-F]{2}i[0-9A-F]{2}$/.test(alias.trim());
  return whole && id !== undefined ? parseInt(id, 16) : Number(readFileSync(join(home, name), 'utf8').trim());
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
