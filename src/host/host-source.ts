import type { Bdf } from '../bdf.js';
import type { DeviceReplies } from './hw-info.js';
import type { Finding } from './report.js';

/** What came of reading one thing. A failure carries the errno's name and a reason a person can read. */
export type Read<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly errno: string; readonly because: string };

export function succeeded<T>(value: T): Read<T> {
  return { ok: true, value };
}

export function failed<T>(errno: string, because: string): Read<T> {
  return { ok: false, errno, because };
}

/** errno of a thing that a recording does not speak of at all; no kernel returns it from a read of sysfs. */
export const NOT_RECORDED = 'ENODATA';

/** The remedy for a thing that could not be read: where a recording is silent, only a new recording helps. */
export function remedyFor(read: Read<unknown>, remedy: string): string {
  return !read.ok && read.errno === NOT_RECORDED
    ? 'Record the host again, with every file of a recording.'
    : remedy;
}

/** A device to ask through its VFIO character device. */
export interface HwInfoTarget {
  readonly bdf: Bdf;
  /** "10de:2941 10de:1a8f": vendor, device and their subsystem ids, to tell devices at one address apart. */
  readonly ids: string;
  /** Name of the SMMU in front of it, where sysfs tells. */
  readonly smmu: string | undefined;
  /** "vfio3", the name in the device's vfio-dev directory. */
  readonly vfioName: string | undefined;
  /** Members of its IOMMU group, itself included, with their vfio-dev names: none of them may be in use. */
  readonly group: number | undefined;
  readonly groupVfioNames: readonly string[];
}

/**
 * A host, live or recorded: the only way in which the probe sees one. Paths are absolute ("/sys/...", "/dev/...").
 * Reading never throws for what the host holds or lacks.
 */
export interface HostSource {
  /** "this host" or "recording DIR". */
  readonly origin: string;
  /** File content as UTF-8; bytes that are none are replaced. Content beyond 1 MiB is refused (EFBIG). */
  readText(path: string): Read<string>;
  /** The same of a binary file, such as a firmware table. */
  readBytes(path: string): Read<Uint8Array>;
  /** A symbolic link's target as it stands in the link. */
  readLink(path: string): Read<string>;
  /** Names in a directory, sorted. */
  list(path: string): Read<readonly string[]>;
  /** ok with false only where it is certain that nothing is there. */
  exists(path: string): Read<boolean>;
  /** Config space as far as it is readable: 64, 256 or 4096 bytes. */
  pciConfig(bdf: Bdf): Read<Uint8Array>;
  /** PCI functions that something other than sysfs speaks of (a recording without `sysfs.txt`). */
  devicesBeyondSysfs(): readonly Bdf[];
  /**
   * Asks IOMMU_GET_HW_INFO of the device. Never throws; never asks a device that is in use.
   * @param signal ends the wait for another probe
   */
  hwInfo(target: HwInfoTarget, signal?: AbortSignal): Promise<DeviceReplies>;
  /** What was wrong with the source itself, such as a damaged line of a recording. */
  readonly findings: readonly Finding[];
  /** Gives up what the source holds: the probe lock, files. Idempotent. */
  close(): Promise<void>;
}

/** The same host, asked another way for what its devices answer. */
export function withHwInfo(source: HostSource, hwInfo: HostSource['hwInfo']): HostSource {
  return {
    origin: source.origin,
    findings: source.findings,
    readText: (path) => source.readText(path),
    readBytes: (path) => source.readBytes(path),
    readLink: (path) => source.readLink(path),
    list: (path) => source.list(path),
    exists: (path) => source.exists(path),
    pciConfig: (bdf) => source.pciConfig(bdf),
    devicesBeyondSysfs: () => source.devicesBeyondSysfs(),
    close: () => source.close(),
    hwInfo,
  };
}
