import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../errors.js';

const VFIO_NODES = '/dev/vfio/';

/** Who has VFIO device nodes open, as far as /proc shows it. */
export interface HolderSearch {
  /** Holders by node: "/dev/vfio/devices/vfio3" -> ["pid 4711"]. */
  readonly holders: ReadonlyMap<string, readonly string[]>;
  readonly processes: number;
  /** Processes whose open files could not be read. */
  readonly unreadable: number;
}

/**
 * Looks through /proc/PID/fd. In a PID namespace of one's own the other processes are not there to be seen;
 * the kernel still refuses to bind a device that is open (EINVAL, EBUSY), without touching it.
 */
export async function findHolders(root: string): Promise<HolderSearch> {
  const proc = join(root, '/proc');
  const holders = new Map<string, string[]>();
  let processes = 0;
  let unreadable = 0;
  for (const pid of await namesIn(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    processes += 1;
    try {
      for (const node of await openNodes(join(proc, pid, 'fd')))
        holders.set(node, [...(holders.get(node) ?? []), `pid ${pid}`]);
    } catch (error) {
      // A process that ended meanwhile holds nothing any more.
      if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ESRCH') unreadable += 1;
    }
  }
  return { holders, processes, unreadable };
}

/** The holder's own mount of /dev may be elsewhere, so only the end of the path counts. */
async function openNodes(fds: string): Promise<Set<string>> {
  const held = new Set<string>();
  for (const fd of await readdir(fds)) {
    const target = await linkTarget(join(fds, fd));
    const at = target.indexOf(VFIO_NODES);
    if (at >= 0) held.add(target.slice(at));
  }
  return held;
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch {
    return [];
  }
}

async function linkTarget(path: string): Promise<string> {
  try {
    return await readlink(path);
  } catch {
    return '';
  }
}
