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
  const rest = new Set(neighbourhoods(devices, must, level));
  while (picked.length < size && rest.size > 0) {
    const best = bestOf(rest, size - picked.length);
    rest.delete(best);
    picked.push(...pick(best.members, must, size - picked.length, closer));
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
  const have = new Set(picked);
  const missing = devices.filter((device) => must.has(device) && !have.has(device));
  if (missing.length === 0) return picked;
  const required = [...picked.filter((device) => must.has(device)), ...missing];
  const chosen = picked.filter((device) => !must.has(device));
  return [...required, ...chosen].slice(0, size);
}

interface Neighbourhood {
  readonly members: PluginDevice[];
  /** How many of them a container must get. */
  required: number;
}

/** In the order of their first devices. */
function neighbourhoods(
  devices: readonly PluginDevice[],
  must: ReadonlySet<PluginDevice>,
  level: Level,
): Iterable<Neighbourhood> {
  const found = new Map<string | undefined, Neighbourhood>();
  for (const device of devices) {
    const key = level(device);
    const there = found.get(key) ?? { members: [], required: 0 };
    found.set(key, there);
    there.members.push(device);
    if (must.has(device)) there.required++;
  }
  return found.values();
}

/** The one with the most required devices; then the smallest that suffices; else the largest; then the first. */
function bestOf(candidates: ReadonlySet<Neighbourhood>, size: number): Neighbourhood {
  const fit = ({ members: { length } }: Neighbourhood) =>
    length >= size ? length - size : Number.MAX_SAFE_INTEGER - length;
  return [...candidates].reduce((best, next) =>
    next.required > best.required || (next.required === best.required && fit(next) < fit(best)) ? next : best,
  );
}
