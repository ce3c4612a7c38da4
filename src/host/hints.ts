import { statSync, watch, type FSWatcher } from 'node:fs';

/** Something that tells when a second look may be worth it. A hint may be false; a missed one is what rescans are for. */
export interface HintSource {
  /** Calls back at each hint until closed. */
  listen(hint: (origin: string) => void): void;
  close(): void;
}

/** What inotify cannot tell is seen so late at the most, ms: a folder that came, was replaced, or has no watch. */
const LOOK_MS = 500;

interface Watched {
  readonly inode: number;
  readonly changed: number;
  /** undefined: no inotify instance was left. */
  readonly watcher: FSWatcher | undefined;
}

/**
 * inotify on folders. devtmpfs tells of nodes that come and go; sysfs does not tell of its own entries (kernfs
 * raises no events for what the kernel makes), so only folders of /dev and of files are worth watching.
 */
export class FolderHints implements HintSource {
  readonly #paths: readonly string[];
  readonly #watched = new Map<string, Watched>();
  #hint: (origin: string) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  listen(hint: (origin: string) => void): void {
    this.#look();
    this.#hint = hint;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { watcher } of this.#watched.values()) watcher?.close();
    this.#watched.clear();
  }

  /** A folder such as /dev/vfio/devices comes with the first device and goes with the last. */
  #look(): void {
    for (const path of this.#paths) {
      const found = stateOf(path);
      const known = this.#watched.get(path);
      const same = found?.inode === known?.inode;
      if (same && (known?.watcher !== undefined || found?.changed === known?.changed)) continue;
      known?.watcher?.close();
      this.#watched.delete(path);
      if (found !== undefined) this.#watched.set(path, { ...found, watcher: this.#watch(path) });
      this.#hint(path);
    }
  }

  #watch(path: string): FSWatcher | undefined {
    try {
      const watcher = watch(path, { persistent: false }, () => {
        this.#hint(path);
        this.#look();
      });
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      return undefined;
    }
  }
}

function stateOf(path: string): { readonly inode: number; readonly changed: number } | undefined {
  try {
    const { ino, mtimeMs } = statSync(path);
    return { inode: ino, changed: mtimeMs };
  } catch {
    return undefined;
  }
}
