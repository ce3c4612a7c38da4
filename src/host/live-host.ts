import { closeSync, openSync, readSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import type { Bdf } from '../bdf.js';
import { errnoOf, messageOf } from '../errors.js';
import type { DeviceReplies } from './hw-info.js';
import { failed, succeeded, type HostSource, type HwInfoTarget, type Read } from './host-source.js';
import { DeviceProber, type ProberOptions } from './device-prober.js';
import { kernelRelease } from './kernel.js';
import type { CacheKey } from './reply-cache.js';
import type { Finding } from './report.js';

export interface LiveHostOptions extends ProberOptions {
  /** Where the host's /sys, /proc and /dev are: "" for the host itself. */
  readonly root?: string | undefined;
}

/** A kernel's configuration is the longest that is read, some 300 KiB. */
const CONTENT_LIMIT = 1024 * 1024;
/** Most files of sysfs are a few bytes; the buffer grows where one is not. */
const FIRST_READ = 4096;
const CONFIG_SPACE = 4096;

/** The machine this runs on. Nothing is opened before it is asked for. */
export function openLiveHost(options: LiveHostOptions = {}): HostSource {
  return new LiveHost(options);
}

class LiveHost implements HostSource {
  readonly origin = 'this host';
  readonly findings: readonly Finding[] = [];
  readonly #root: string;
  readonly #prober: DeviceProber;

  constructor(options: LiveHostOptions) {
    this.#root = (options.root ?? '').replace(/\/+$/, '');
    this.#prober = new DeviceProber(this.#root, options, () => this.#cacheKey());
  }

  readText(path: string): Read<string> {
    return limited(
      path,
      this.#read(path, CONTENT_LIMIT + 1, (bytes) => bytes.toString('utf8')),
    );
  }

  readBytes(path: string): Read<Uint8Array> {
    return limited(path, this.#read(path, CONTENT_LIMIT + 1, copied));
  }

  readLink(path: string): Read<string> {
    return attempt(path, () => readlinkSync(this.#on(path)));
  }

  list(path: string): Read<readonly string[]> {
    return attempt(path, () => readdirSync(this.#on(path)).sort());
  }

  exists(path: string): Read<boolean> {
    // ENOENT and ENOTDIR yield undefined, which costs less than an error: most of what is asked for is not there.
    return attempt(path, () => statSync(this.#on(path), { throwIfNoEntry: false }) !== undefined);
  }

  pciConfig(bdf: Bdf): Read<Uint8Array> {
    return this.#read(`/sys/bus/pci/devices/${bdf}/config`, CONFIG_SPACE, copied);
  }

  devicesBeyondSysfs(): readonly Bdf[] {
    return [];
  }

  hwInfo(target: HwInfoTarget, signal?: AbortSignal): Promise<DeviceReplies> {
    return this.#prober.ask(target, signal);
  }

  close(): Promise<void> {
    return this.#prober.close();
  }

  #cacheKey(): CacheKey | undefined {
    const boot = this.readText('/proc/sys/kernel/random/boot_id');
    const release = kernelRelease(this);
    return boot.ok && release.known ? { bootId: boot.value.trim(), release: release.value } : undefined;
  }

  #on(path: string): string {
    return this.#root + path;
  }

  /**
   * sysfs files report a size that is not their content's, so read until the end.
   * @param take makes the result of a buffer that the next reading overwrites
   */
  #read<T>(path: string, limit: number, take: (bytes: Buffer) => T): Read<T> {
    return attempt(path, () => {
      const fd = openSync(this.#on(path), 'r');
      try {
        return take(readToEnd(fd, limit));
      } finally {
        closeSync(fd);
      }
    });
  }
}

function copied(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes);
}

function limited<T extends { readonly length: number }>(path: string, content: Read<T>): Read<T> {
  return content.ok && content.value.length > CONTENT_LIMIT
    ? failed('EFBIG', `${path} holds more than ${CONTENT_LIMIT} bytes`)
    : content;
}

/** Reads are synchronous, so that one buffer does for all that fits into it. */
const PAGE = Buffer.alloc(FIRST_READ);

function readToEnd(fd: number, limit: number): Buffer {
  let buffer: Buffer = PAGE;
  for (let length = 0; ;) {
    const room = buffer.length - length;
    const read = readSync(fd, buffer, length, room, null);
    length += read;
    // sysfs hands out a page at a time; less than the smallest page there is, is the end.
    if (read < Math.min(room, FIRST_READ) || length === limit) return buffer.subarray(0, length);
    if (length < buffer.length) continue;
    const larger = Buffer.allocUnsafe(Math.min(limit, 4 * buffer.length));
    buffer.copy(larger, 0, 0, length);
    buffer = larger;
  }
}

function attempt<T>(path: string, read: () => T): Read<T> {
  try {
    return succeeded(read());
  } catch (error) {
    const errno = errnoOf(error) ?? 'EIO';
    return failed(errno, errno === 'ENOENT' ? `${path} does not exist` : `${path}: ${messageOf(error)}`);
  }
}
