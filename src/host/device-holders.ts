import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../errors.js';

export interface HolderSearch {
  /** "pid 4711 holds /dev/vfio/devices/vfio3" */
  readonly holders: readonly string[];
  readonly processes: number;
  /** Processes whose open files could not be read. */
  readonly unreadable: number;
}

/**
 * Who has one of these device nodes open, as far as /proc shows it. In a PID namespace of one's own the
 * other processes are not there to be seen; the kernel still refuses to bind a device that is open (EINVAL, EBUSY).
 * @param nodes "/dev/vfio/devices/vfio3"; what /proc shows begins with the holder's own mount of /dev
 */
export async function findHolders(root: string, nodes: readonly string[]): Promise<HolderSearch> {
  const proc = join(root, '/proc');
  const holders: string[] = [];
  let processes = 0;
  let unreadable = 0;
  for (const pid of await namesIn(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    processes += 1;
    const fds = join(proc, pid, 'fd');
    try {
      for (const node of await openNodes(fds, nodes)) holders.push(`pid ${pid} holds ${node}`);
    } catch (error) {
      // A process that ended meanwhile holds nothing any more.
      if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ESRCH') unreadable += 1;
    }
  }
  return { holders, processes, unreadable };
}

/** Those of the nodes that a process has open. */
async function openNodes(fds: string, nodes: readonly string[]): Promise<string[]> {
  const held: string[] = [];
  for (const fd of await readdir(fds)) {
    const target = await linkTarget(join(fds, fd));
    const node = nodes.find((name) => target.endsWith(name));
    if (node !== undefined) held.push(node);
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
