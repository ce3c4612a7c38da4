import { constants } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, messageOf } from '../errors.js';

/** Beside the host's other run-time state; a container mounts the folder to share the lock. */
export const PROBE_LOCK = '/run/vsmmu/probe.lock';

const RETRY_MS = 50;

export type LockResult =
  | { readonly ok: true; readonly lock: ProbeLock }
  | { readonly ok: false; readonly because: string; readonly remedy: string };

/** Keeps two probes apart. flock(2) dies with its process, so there is no stale lock to clear away. */
export class ProbeLock {
  readonly #file: FileHandle;
  constructor(file: FileHandle) {
    this.#file = file;
  }

  async release(): Promise<void> {
    await this.#file.close();
  }
}

/** @param waitMs how long to wait for another probe to end */
export async function takeProbeLock(path: string, waitMs: number): Promise<LockResult> {
  let file: FileHandle;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    return {
      ok: false,
      because: `the probe lock ${path} cannot be opened (${errnoOf(error) ?? messageOf(error)})`,
      remedy: `Make ${dirname(path)} writable, or mount it from the host.`,
    };
  }
  const tryLock = await loadFlock();
  const deadline = performance.now() + waitMs;
  while (tryLock(file.fd) !== 0) {
    if (performance.now() >= deadline) {
      await file.close();
      return {
        ok: false,
        because: `another probe holds ${path}`,
        remedy: 'Try again when it has ended.',
      };
    }
    await delay(RETRY_MS);
  }
  return { ok: true, lock: new ProbeLock(file) };
}

const LOCK_EX_NB = 2 | 4;

/** flock(2) with LOCK_EX | LOCK_NB, which gives 0 or the errno. Node has no such call; koffi takes 14 ms to load. */
async function loadFlock(): Promise<(fd: number) => number> {
  const { default: koffi } = await import('koffi');
  const flock: (fd: number, operation: number) => unknown = koffi
    .load(null)
    .func('flock', 'int', ['int', 'int']);
  return (fd) => (flock(fd, LOCK_EX_NB) === 0 ? 0 : koffi.errno());
}
