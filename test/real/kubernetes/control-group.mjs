import { existsSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';
import { eventually } from './eventually.mjs';

const ROOT = '/sys/fs/cgroup';
const PERIOD_MICROSECONDS = 100_000;

/**
 * A control group with a container's limits, in version 1 or 2, whichever this machine has.
 * A program joins it by `sh -c 'echo $$ > FILE && exec …'` for each of `joinFiles`.
 */
export class ControlGroup {
  /** @param {{ memoryBytes: number, milliCpus: number }} limits @throws {NotRun} where none can be made */
  static async create(name, { memoryBytes, milliCpus }) {
    const quota = (milliCpus * PERIOD_MICROSECONDS) / 1000;
    const two = existsSync(join(ROOT, 'cgroup.controllers'));
    const settings = two
      ? [
          [join(ROOT, name, 'memory.max'), memoryBytes],
          [join(ROOT, name, 'cpu.max'), `${quota} ${PERIOD_MICROSECONDS}`],
        ]
      : [
          [join(ROOT, 'memory', name, 'memory.limit_in_bytes'), memoryBytes],
          [join(ROOT, 'cpu', name, 'cpu.cfs_quota_us'), quota],
        ];
    const group = new ControlGroup(two, name);
    try {
      if (two) await writeFile(join(ROOT, 'cgroup.subtree_control'), '+memory +cpu');
      for (const folder of group.#folders) await mkdir(folder);
      for (const [file, value] of settings) await writeFile(file, String(value));
    } catch (error) {
      await group.remove();
      throw new NotRun(`no control group with limits can be made here: ${error.message}`);
    }
    return group;
  }

  #folders;
  #two;

  constructor(two, name) {
    this.#two = two;
    this.#folders = two ? [join(ROOT, name)] : [join(ROOT, 'memory', name), join(ROOT, 'cpu', name)];
  }

  get joinFiles() {
    return this.#folders.map((folder) => join(folder, 'cgroup.procs'));
  }

  /** The most memory it ever held, in bytes. */
  async peakBytes() {
    const file = this.#two ? 'memory.peak' : 'memory.max_usage_in_bytes';
    return Number(await readFile(join(this.#folders[0], file), 'utf8'));
  }

  /** Programs of it that were killed for want of memory. */
  async killedForMemory() {
    const text = await readFile(
      join(this.#folders[0], this.#two ? 'memory.events' : 'memory.oom_control'),
      'utf8',
    );
    return Number(/^oom_kill (\d+)/m.exec(text)?.[1] ?? 0);
  }

  /** Empty it first: a group with programs in it stays. */
  async remove() {
    for (const folder of this.#folders.filter(existsSync)) {
      await eventually(`${folder} is empty`, () => rmdir(folder).then(() => true), 10);
    }
  }
}
