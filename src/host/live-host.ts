import { accessSync, closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Bdf } from '../bdf.js';
import { errnoOf, messageOf } from '../errors.js';
import type { DeviceReplies } from './hw-info.js';
import { failed, succeeded, type HostSource, type HwInfoTarget, type Read } from './host-source.js';
import { DeviceProber, type ProberOptions } from './device-prober.js';
import type { Finding } from './report.js';

export interface LiveHostOptions extends ProberOptions {
  /** Where the host's /sys, /proc and /dev are: "" for the host itself. */
  readonly root?: string | undefined;
}

/** Text in sysfs is at most a page; more than this is not sysfs. */
const TEXT_LIMIT = 64 * 1024;
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
    this.#root = options.root ?? '';
    this.#prober = new DeviceProber(this.#root, options);
  }

  readText(path: string): Read<string> {
    const bytes = this.#read(path, TEXT_LIMIT + 1);
    if (!bytes.ok) return bytes;
    return bytes.value.length > TEXT_LIMIT
      ? failed('EFBIG', `${path} holds more than ${TEXT_LIMIT} bytes`)
      : succeeded(Buffer.from(bytes.value).toString('utf8'));
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

  #on(path: string): string {
    return this.#root === '' ? path : join(this.#root, path);
  }

  /** sysfs files report a size that is not their content's, so read until the end. */
  #read(path: string, limit: number): Read<Uint8Array> {
    return attempt(path, () => {
      const fd = openSync(this.#on(path), 'r');
      try {
        const buffer = Buffer.alloc(limit);
        let length = 0;
        while (length < limit) {
          const read = readSync(fd, buffer, length, limit - length, null);
          if (read === 0) break;
          length += read;
        }
        return buffer.subarray(0, length);
      } finally {
        closeSync(fd);
      }
    });
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
