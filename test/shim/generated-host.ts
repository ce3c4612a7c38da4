import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** One function of a generated host. */
export interface GeneratedFunction {
  readonly bdf: string;
  readonly home: string;
  readonly vendor: number;
  readonly device: number;
  readonly driver: string;
  readonly group: number;
  readonly numa: number;
  readonly smmu: string;
  readonly ats: boolean;
  readonly vfioName: string | undefined;
}

export type GeneratedEntry =
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'file'; readonly content: string | Uint8Array }
  | { readonly kind: 'directory' };

/** Functions of one SMMU. */
const FUNCTIONS_PER_SMMU = 64;
const CONFIG_BYTES = 4096;
/** Start, end and flags of 13 regions. */
const NO_RESOURCES = '0x0000000000000000 0x0000000000000000 0x0000000000000000\n'.repeat(13);

/** A host of `count` functions in PCI domains that go beyond four digits, every second one on vfio-pci. */
export function generateFunctions(count: number): GeneratedFunction[] {
  return Array.from({ length: count }, (_, n) => {
    const domain = (Math.floor(n / 256) * 0x5555).toString(16).padStart(4, '0');
    const bdf = `${domain}:${(Math.floor(n / 8) % 32).toString(16).padStart(2, '0')}:00.${n % 8}`;
    const vfio = n % 2 === 0;
    return {
      bdf,
      home: `/sys/devices/pci${domain}:00/${bdf}`,
      vendor: 0x1000 + (n % 0x7000),
      device: 0x8000 + (n % 0x7fff),
      driver: vfio ? 'vfio-pci' : 'nvme',
      group: n,
      numa: n % 4,
      smmu: `smmu3.0x${(0x9050000 + Math.floor(n / FUNCTIONS_PER_SMMU) * 0x20000).toString(16).padStart(16, '0')}`,
      ats: n % 3 === 0,
      vfioName: vfio ? `vfio${n}` : undefined,
    };
  });
}

/** Everything of the host by path. */
export function generatedTree(functions: readonly GeneratedFunction[]): Map<string, GeneratedEntry> {
  const tree = new Map<string, GeneratedEntry>();
  const file = (path: string, content: string | Uint8Array) => tree.set(path, { kind: 'file', content });
  const link = (path: string, target: string) => tree.set(path, { kind: 'link', target });
  file('/proc/version', 'Linux version 7.2.0-generated (a@b) #1 SMP\n');
  file('/proc/cmdline', 'quiet\n');
  for (const one of functions) {
    const { bdf, home } = one;
    link(`/sys/bus/pci/devices/${bdf}`, `../../../${home.slice('/sys/'.length)}`);
    file(`${home}/vendor`, `0x${one.vendor.toString(16)}\n`);
    file(`${home}/device`, `0x${one.device.toString(16)}\n`);
    file(`${home}/class`, '0x010802\n');
    const hex = (id: number) => id.toString(16).toUpperCase().padStart(8, '0');
    const ids = `v${hex(one.vendor)}d${hex(one.device)}sv00001AF4sd00001100`;
    file(`${home}/modalias`, `pci:${ids}bc01sc08i02\n`);
    // The two that lspci cannot do without.
    file(`${home}/irq`, '0\n');
    file(`${home}/resource`, NO_RESOURCES);
    file(`${home}/subsystem_vendor`, '0x1af4\n');
    file(`${home}/subsystem_device`, '0x1100\n');
    file(`${home}/numa_node`, `${one.numa}\n`);
    file(`${home}/reset_method`, 'flr bus\n');
    file(`${home}/config`, configSpace(one));
    link(`${home}/driver`, `../../../bus/pci/drivers/${one.driver}`);
    link(`${home}/iommu`, `../../platform/arm-smmu-v3.0.auto/iommu/${one.smmu}`);
    link(`${home}/iommu_group`, `../../../kernel/iommu_groups/${one.group}`);
    link(`/sys/kernel/iommu_groups/${one.group}/devices/${bdf}`, `../../../../devices/pci/${bdf}`);
    tree.set(`/sys/class/iommu/${one.smmu}`, { kind: 'directory' });
    if (one.vfioName !== undefined) {
      tree.set(`${home}/vfio-dev/${one.vfioName}`, { kind: 'directory' });
      file(`/dev/vfio/devices/${one.vfioName}`, '');
    }
  }
  return tree;
}

/** PCI Express, with ATS where the function has it and PASID behind. */
export function configSpace(one: GeneratedFunction): Uint8Array {
  const bytes = Buffer.alloc(CONFIG_BYTES);
  bytes.writeUInt16LE(one.vendor, 0);
  bytes.writeUInt16LE(one.device, 2);
  bytes.writeUInt16LE(0x0010, 6);
  bytes[0x34] = 0x40;
  bytes[0x40] = 0x10;
  bytes.writeUInt32LE(((0x148 << 20) | 0x10001) >>> 0, 0x100);
  bytes.writeUInt32LE(((0x200 << 20) | 0x10000 | (one.ats ? 0x0f : 0x0d)) >>> 0, 0x148);
  bytes.writeUInt32LE(0x1001b, 0x200);
  bytes.writeUInt16LE(16 << 8, 0x204);
  return bytes;
}

/** @param made folders that are there already: making 200,000 paths anew costs more than the files */
export function writeEntry(
  root: string,
  path: string,
  entry: GeneratedEntry,
  made: Set<string> = new Set(),
): void {
  const at = join(root, path);
  const folder = dirname(at);
  if (!made.has(folder)) mkdirSync(folder, { recursive: true });
  made.add(folder);
  if (entry.kind === 'directory') mkdirSync(at, { recursive: true });
  else if (entry.kind === 'link') symlinkSync(entry.target, at);
  else writeFileSync(at, entry.content);
}

export function writeTree(root: string, tree: ReadonlyMap<string, GeneratedEntry>): void {
  const made = new Set<string>();
  for (const [path, entry] of tree) writeEntry(root, path, entry, made);
}
