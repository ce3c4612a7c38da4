import { accessSync, closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs';
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
    const bytes = this.readBytes(path);
    return bytes.ok ? succeeded(Buffer.from(bytes.value).toString('utf8')) : bytes;
  }

  readBytes(path: string): Read<Uint8Array> {
    const bytes = this.#read(path, CONTENT_LIMIT + 1);
    return bytes.ok && bytes.value.length > CONTENT_LIMIT
      ? failed('EFBIG', `${path} holds more than ${CONTENT_LIMIT} bytes`)
      : bytes;
  }

  readLink(path: string): Read<string> {
    return attempt(path, () => readlinkSync(this.#on(path)));
  }

  list(path: string): Read<readonly string[]> {
    return attempt(path, () => readdirSync(this.#on(path)).sort());
  }

  exists(path: string): Read<boolean> {
    const found = attempt(path, () => {
      accessSync(this.#on(path));
      return true;
    });
    return !found.ok && (found.errno === 'ENOENT' || found.errno === 'ENOTDIR') ? succeeded(false) : found;
  }

  pciConfig(bdf: Bdf): Read<Uint8Array> {
    return this.#read(`/sys/bus/pci/devices/${bdf}/config`, CONFIG_SPACE);
  }

  devicesBeyondSysfs(): readonly Bdf[] {
    return [];
  }

  hwInfo(target: HwInfoTarget): Promise<DeviceReplies> {
    return this.#prober.ask(target);
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

  /** sysfs files report a size that is not their content's, so read until the end. */
  #read(path: string, limit: number): Read<Uint8Array> {
    return attempt(path, () => {
      const fd = openSync(this.#on(path), 'r');
      try {
        return readToEnd(fd, limit);
      } finally {
        closeSync(fd);
      }
    });
  }
}

/** Reads are synchronous, so that one buffer does for all that fits into it. */
const PAGE = Buffer.alloc(FIRST_READ);

function readToEnd(fd: number, limit: number): Uint8Array {
  let buffer: Buffer = PAGE;
  for (let length = 0; ;) {
    const read = readSync(fd, buffer, length, buffer.length - length, null);
    length += read;
    // sysfs hands out a page at a time; less than the smallest page there is, is the end.
    if (read < FIRST_READ || length === limit) return Uint8Array.from(buffer.subarray(0, length));
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
