import { constants } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, messageOf } from '../errors.js';
import { errnoName } from './hw-info.js';
import { pause } from './pause.js';

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

/**
 * @param waitMs how long to wait for another probe to end
 * @param signal ends the wait
 */
export async function takeProbeLock(
  path: string,
  waitMs: number,
  signal: AbortSignal = new AbortController().signal,
): Promise<LockResult> {
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
  const refusal = await lockWithin(file.fd, path, performance.now() + waitMs, signal);
  if (refusal === undefined) return { ok: true, lock: new ProbeLock(file) };
  await file.close();
  return { ok: false, ...refusal };
}

interface Refusal {
  readonly because: string;
  readonly remedy: string;
}

async function lockWithin(
  fd: number,
  path: string,
  deadline: number,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const tryLock = await (flockLoaded ??= loadFlock());
  for (;;) {
    const errno = tryLock(fd);
    if (errno === 0) return undefined;
    if (errno !== EWOULDBLOCK && errno !== EINTR)
      return {
        because: `the probe lock ${path} cannot be taken (flock: ${errnoName(errno)})`,
        remedy: `Put ${dirname(path)} on a file system that has locks, such as the host's /run.`,
      };
    if (signal.aborted) return { because: `the wait for ${path} was given up`, remedy: 'Probe again.' };
    if (performance.now() >= deadline)
      return { because: `another probe holds ${path}`, remedy: 'Try again when it has ended.' };
    await pause(RETRY_MS, signal);
  }
}

const LOCK_EX_NB = 2 | 4;
const EWOULDBLOCK = 11;
const EINTR = 4;

type TryLock = (fd: number) => number;

/** One for the life of the process: koffi does not give back what it takes for a function. */
let flockLoaded: Promise<TryLock> | undefined;

/** flock(2) with LOCK_EX | LOCK_NB, which gives 0 or the errno. Node has no such call; koffi takes 14 ms to load. */
async function loadFlock(): Promise<TryLock> {
  const { default: koffi } = await import('koffi');
  const flock: (fd: number, operation: number) => unknown = koffi
    .load(null)
    .func('flock', 'int', ['int', 'int']);
  return (fd) => (flock(fd, LOCK_EX_NB) === 0 ? 0 : koffi.errno());
}
