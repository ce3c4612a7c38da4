import { watch, type FSWatcher } from 'node:fs';

/** Something that tells when a second look may be worth it. A hint may be false; a missed one is what rescans are for. */
export interface HintSource {
  /** Calls back at each hint until closed. */
  listen(hint: (origin: string) => void): void;
  close(): void;
}

/**
 * inotify on folders. devtmpfs tells of nodes that come and go; sysfs does not tell of its own entries (kernfs
 * raises no events for what the kernel makes), so only folders of /dev are worth watching.
 */
export class FolderHints implements HintSource {
  readonly #paths: readonly string[];
  readonly #watchers = new Map<string, FSWatcher>();
  #hint: (origin: string) => void = () => undefined;

  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  listen(hint: (origin: string) => void): void {
    this.#hint = hint;
    this.#watchMissing();
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** A folder such as /dev/vfio/devices comes with the first device and goes with the last. */
  #watchMissing(): void {
    for (const path of this.#paths) if (!this.#watchers.has(path)) this.#watch(path);
  }

  #watch(path: string): void {
    try {
      const watcher = watch(path, { persistent: false }, (event, name) => {
        if (event === 'rename' && this.#paths.some((other) => other === `${path}/${name ?? ''}`))
          this.#rewatch(name, path);
        this.#hint(path);
        this.#watchMissing();
      });
      watcher.on('error', () => this.#drop(path));
      this.#watchers.set(path, watcher);
    } catch {
      // Not there, or no inotify instance left: its parent, or the slow rescan, sees what happens.
    }
  }

  #rewatch(name: string | null, parent: string): void {
    this.#drop(`${parent}/${name ?? ''}`);
  }

  #drop(path: string): void {
    this.#watchers.get(path)?.close();
    this.#watchers.delete(path);
  }
}
