import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, messageOf, VsmmuError } from '../errors.js';
import type { Log } from '../log/log.js';

const FORMAT = 1;

/**
 * What a checkpoint held. `lost`: there is a file, and it is of no use; it was put aside under the name given, for a
 * person to look at, or could not be.
 */
export type CheckpointRead<T> =
  | { readonly kind: 'read'; readonly value: T }
  | { readonly kind: 'missing' }
  | { readonly kind: 'lost'; readonly because: string; readonly putAside: string | undefined };

/**
 * State that survives the process: one JSON file with a format number and a checksum, replaced as a whole. Killed at
 * any moment, it is the old state or the new one. Writes of one checkpoint follow each other; those that pile up
 * become one.
 */
export class Checkpoint<T> {
  readonly #path: string;
  readonly #parse: (json: unknown) => T | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** A write that is due and has not begun. */
  #pending: Promise<void> | undefined;
  #counter = 0;

  /** @param parse undefined: the JSON is not such a state. */
  constructor(path: string, parse: (json: unknown) => T | undefined) {
    this.#path = path;
    this.#parse = parse;
  }

  /** Never fails: an agent without its state still has work to do. A loss is told in the log. */
  async read(log: Log): Promise<CheckpointRead<T>> {
    const read = await this.#read();
    if (read.kind === 'lost') {
      const { putAside, because } = read;
      log.error(
        putAside === undefined
          ? 'The state cannot be read, nor put aside.'
          : 'The state is damaged and was put aside.',
        { file: putAside ?? this.#path, reason: because },
      );
    }
    return read;
  }

  async #read(): Promise<CheckpointRead<T>> {
    await this.#removeLeftovers();
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return { kind: 'missing' };
      return { kind: 'lost', because: messageOf(error), putAside: undefined };
    }
    const decoded = this.#decode(text);
    if ('value' in decoded) return { kind: 'read', value: decoded.value };
    const putAside = `${this.#path}.damaged`;
    try {
      await rename(this.#path, putAside);
      return { kind: 'lost', because: decoded.because, putAside };
    } catch (error) {
      return { kind: 'lost', because: `${decoded.because}; ${messageOf(error)}`, putAside: undefined };
    }
  }

  /**
   * Resolves when what `encode` returns at the time of writing is on disk. It is called once for all writes that
   * piled up until then.
   *
   * @throws VsmmuError STATE_UNWRITABLE; the file then still holds the former state
   */
  write(encode: () => unknown): Promise<void> {
    if (this.#pending !== undefined) return this.#pending;
    const done = this.#writing.then(() => {
      this.#pending = undefined;
      return this.#replace(textOf(encode()));
    });
    this.#pending = done;
    this.#writing = done.catch(() => undefined);
    return done;
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    while (this.#pending !== undefined) await this.#pending.catch(() => undefined);
    await this.#writing;
  }

  #decode(text: string): { readonly value: T } | { readonly because: string } {
    let outer: unknown;
    try {
      outer = JSON.parse(text);
    } catch (error) {
      return { because: `it is no JSON: ${messageOf(error)}` };
    }
    if (typeof outer !== 'object' || outer === null) return { because: 'it is no JSON object' };
    const { format, checksum, data }: { format?: unknown; checksum?: unknown; data?: unknown } = outer;
    if (format !== FORMAT) return { because: `its format is ${JSON.stringify(format)}, not ${FORMAT}` };
    if (data === undefined || checksum !== checksumOf(JSON.stringify(data)))
      return { because: 'its checksum is wrong' };
    const value = this.#parse(data);
    return value === undefined ? { because: 'its content is none that this version writes' } : { value };
  }

  async #replace(text: string): Promise<void> {
    const dir = dirname(this.#path);
    const temporary = join(dir, `${this.#temporaryPrefix()}${process.pid}-${this.#counter++}`);
    try {
      await mkdir(dir, { recursive: true, mode: 0o750 });
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
      await syncDirectory(dir);
    } catch (error) {
      // What can't be removed now is removed by the next read.
      await rm(temporary, { force: true }).catch(() => undefined);
      throw unwritable(this.#path, error);
    }
  }

  #temporaryPrefix(): string {
    return `.${basename(this.#path)}.`;
  }

  /** Of a process that was killed while it wrote. They are in nobody's way where they can't be removed. */
  async #removeLeftovers(): Promise<void> {
    const dir = dirname(this.#path);
    try {
      for (const name of await readdir(dir)) {
        if (name.startsWith(this.#temporaryPrefix())) await rm(join(dir, name), { force: true });
      }
    } catch {
      // No directory yet, or one that can't be written: the first write tells.
    }
  }
}

function textOf(value: unknown): string {
  const data = JSON.stringify(value);
  const head = JSON.stringify({ format: FORMAT, checksum: checksumOf(data) });
  return `${head.slice(0, -1)},"data":${data}}\n`;
}

function checksumOf(data: string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Without it a power cut may undo the rename. */
async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function unwritable(path: string, cause: unknown): VsmmuError {
  return new VsmmuError('STATE_UNWRITABLE', `The state cannot be kept: ${messageOf(cause)}`, {
    place: path,
    remedy: `Give the agent a writable directory ${dirname(path)} with space on it.`,
    cause,
  });
}
