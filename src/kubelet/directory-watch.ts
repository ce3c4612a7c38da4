import { statSync, watch, type FSWatcher } from 'node:fs';

/** Without inotify (EMFILE, a directory that was made anew) the poll alone still meets "back within a second". */
const POLL_MS = 500;

/**
 * Wakes those who wait when entries of a directory came or went. A wake-up is a hint: who is woken looks for
 * himself. inotify tells at once; a slow poll of the directory's own state covers what inotify can't: a directory
 * that is not there yet, that was replaced, or that found no inotify instance left.
 */
export class DirectoryWatch {
  readonly #path: string;
  readonly #wakers = new Set<() => void>();
  readonly #poll: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #inode: number | undefined;
  #state: string | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#look();
    this.#poll = setInterval(() => this.#look(), POLL_MS);
    this.#poll.unref();
  }

  /** Resolves at the next hint, after `timeoutMs`, or when the signal aborts. */
  hint(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const wake = () => {
        clearTimeout(timer);
        this.#wakers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      if (timeoutMs !== undefined) timer = setTimeout(wake, timeoutMs);
      this.#wakers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
      if (signal.aborted) wake();
    });
  }

  close(): void {
    clearInterval(this.#poll);
    this.#watcher?.close();
    this.nudge();
  }

  /** A hint from elsewhere, for those who wait here for several things. */
  nudge(): void {
    for (const wake of [...this.#wakers]) wake();
  }

  #look(): void {
    const found = statSync(this.#path, { throwIfNoEntry: false });
    const state = found === undefined ? 'none' : `${found.ino}:${found.mtimeMs}`;
    this.#rewatch(found?.ino);
    if (state === this.#state) return;
    this.#state = state;
    this.nudge();
  }

  #rewatch(inode: number | undefined): void {
    if (this.#watcher !== undefined && inode === this.#inode) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#inode = inode;
    if (inode === undefined) return;
    try {
      const watcher = watch(this.#path, { persistent: false }, () => this.nudge());
      watcher.on('error', () => watcher.close());
      this.#watcher = watcher;
    } catch {
      // No inotify instance to be had: the next look tries again, and sees by itself what changed.
    }
  }
}
