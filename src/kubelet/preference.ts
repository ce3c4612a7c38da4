import { compareBdf } from '../bdf.js';
import type { PluginDevice } from './plugin-device.js';

type Level = (device: PluginDevice) => string | undefined;

/** From the widest to the closest neighbourhood: a VM's devices share memory, then translations, then a switch. */
const LEVELS: readonly Level[] = [
  ({ numaNode }) => numaNode?.toString(),
  ({ smmu }) => smmu,
  ({ pcieRoot }) => pcieRoot,
  ({ iommuGroup }) => iommuGroup.toString(),
];

/**
 * Which `size` devices of the available ones a container gets best: on one NUMA node, then behind one SMMU, then
 * under one PCIe root, then of one IOMMU group. Among neighbourhoods that suffice the smallest wins, so that large
 * ones stay whole for those who need them. Deterministic: ties go to the lower BDF.
 *
 * @returns fewer than `size` where there are fewer; the kubelet fills up by itself.
 */
export function preferDevices(
  available: readonly PluginDevice[],
  mustInclude: readonly PluginDevice[],
  size: number,
): readonly PluginDevice[] {
  const all = [...new Set([...mustInclude, ...available])].sort((a, b) => compareBdf(a.bdf, b.bdf));
  return pick(all, new Set(mustInclude), size, LEVELS);
}

function pick(
  devices: readonly PluginDevice[],
  must: ReadonlySet<PluginDevice>,
  size: number,
  [level, ...closer]: readonly Level[],
): readonly PluginDevice[] {
  if (size <= 0) return [];
  if (level === undefined) return [...devices].sort((a, b) => rank(a, must) - rank(b, must)).slice(0, size);
  const picked: PluginDevice[] = [];
  let rest = neighbourhoods(devices, level);
  while (picked.length < size && rest.length > 0) {
    const [best, ...others] = bestFirst(rest, must, size - picked.length);
    if (best === undefined) break;
    picked.push(...pick(best, must, size - picked.length, closer));
    rest = others;
  }
  return keepMust(picked, devices, must, size);
}

function rank(device: PluginDevice, must: ReadonlySet<PluginDevice>): number {
  return must.has(device) ? 0 : 1;
}

/** A required device of a neighbourhood that was not reached replaces the last one that nobody required. */
function keepMust(
  picked: readonly PluginDevice[],
  devices: readonly PluginDevice[],
  must: ReadonlySet<PluginDevice>,
  size: number,
): readonly PluginDevice[] {
  const missing = devices.filter((device) => must.has(device) && !picked.includes(device));
  if (missing.length === 0) return picked;
  const required = [...picked.filter((device) => must.has(device)), ...missing];
  const chosen = picked.filter((device) => !must.has(device));
  return [...required, ...chosen].slice(0, size);
}

function neighbourhoods(devices: readonly PluginDevice[], level: Level): PluginDevice[][] {
  const found = new Map<string | undefined, PluginDevice[]>();
  for (const device of devices) {
    const key = level(device);
    const members = found.get(key);
    if (members === undefined) found.set(key, [device]);
    else members.push(device);
  }
  return [...found.values()];
}

/** Those with required devices first; then the smallest that suffices; else the largest. The sort is stable. */
function bestFirst(
  candidates: readonly PluginDevice[][],
  must: ReadonlySet<PluginDevice>,
  size: number,
): PluginDevice[][] {
  const required = (members: readonly PluginDevice[]) => members.filter((device) => must.has(device)).length;
  const fit = (members: readonly PluginDevice[]) =>
    members.length >= size ? members.length - size : Number.MAX_SAFE_INTEGER - members.length;
  return [...candidates].sort((a, b) => required(b) - required(a) || fit(a) - fit(b));
}
