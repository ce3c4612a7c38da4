import { constants } from 'node:buffer';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bdf } from '../bdf.js';
import { VsmmuError, errnoOf, messageOf } from '../errors.js';
import { HwInfoType } from '../smmu/compatibility.js';
import type { DeviceReplies } from './hw-info.js';
import {
  nestingNotRecorded,
  notRecorded,
  parseHwInfoRecording,
  type HwInfoRecording,
} from './hw-info-recording.js';
import { NOT_RECORDED, failed, succeeded, type HostSource, type Read } from './host-source.js';
import { parsePciConfigRecording, type PciConfigRecording } from './pci-config-recording.js';
import { RecordedTree } from './recorded-tree.js';
import type { Finding } from './report.js';
import { parseSysfsRecording, type SysfsRecording } from './sysfs-recording.js';

/** The files of a recording (docs/recording-format.md). Any of them may be missing, but not all. */
export const RECORDING_FILES = {
  sysfs: 'sysfs.txt',
  pciConfig: 'pci-config.txt',
  hwInfo: 'iommu-hw-info.json',
} as const;

const { MAX_STRING_LENGTH } = constants;

/** Damaged lines beyond these are counted, not listed. */
const DAMAGE_LISTED = 5;

interface RecordingParts {
  readonly sysfs: SysfsRecording | undefined;
  readonly pciConfig: PciConfigRecording | undefined;
  readonly hwInfo: HwInfoRecording | undefined;
}

/**
 * Opens a recorded host.
 * @throws VsmmuError RECORDING_UNREADABLE where the folder holds no recording, RECORDING_MALFORMED where
 * a file of it cannot be understood at all; lesser damage becomes findings.
 */
export async function openRecording(dir: string): Promise<HostSource> {
  const [sysfs, pciConfig, hwInfo] = await Promise.all([
    readPart(dir, RECORDING_FILES.sysfs),
    readPart(dir, RECORDING_FILES.pciConfig),
    readPart(dir, RECORDING_FILES.hwInfo),
  ]);
  if (sysfs === undefined && pciConfig === undefined && hwInfo === undefined && !existsSync(dir))
    throw noRecording(dir, 'there is no such folder');
  return recordingOf(dir, { sysfs, pciConfig, hwInfo });
}

function noRecording(dir: string, message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('RECORDING_UNREADABLE', message, {
    place: dir,
    remedy: `Name a folder that holds ${Object.values(RECORDING_FILES).join(', ')} or some of them.`,
    cause,
  });
}

/** The text of each file of a recording; undefined where it has none. */
export type RecordingTexts = Readonly<Record<keyof typeof RECORDING_FILES, string | undefined>>;

/**
 * The host of a recording whose files were read already.
 * @param dir where they stand, for messages
 * @throws VsmmuError as openRecording does
 */
export function recordingOf(dir: string, { sysfs, pciConfig, hwInfo }: RecordingTexts): HostSource {
  if (sysfs === undefined && pciConfig === undefined && hwInfo === undefined)
    throw noRecording(dir, 'the folder holds no recording of a host');
  return new Recording(dir, {
    sysfs: sysfs === undefined ? undefined : parseSysfsRecording(sysfs),
    pciConfig: pciConfig === undefined ? undefined : parsePciConfigRecording(pciConfig),
    hwInfo:
      hwInfo === undefined ? undefined : parseHwInfoRecording(hwInfo, join(dir, RECORDING_FILES.hwInfo)),
  });
}

async function readPart(dir: string, name: string): Promise<string | undefined> {
  const path = join(dir, name);
  try {
    // Reading a FIFO would wait for a writer, and /dev/zero has no end.
    const file = await stat(path);
    if (!file.isFile()) throw unreadable(path, 'it is no regular file');
    if (file.size > MAX_STRING_LENGTH) throw unreadable(path, `it has ${file.size} bytes`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof VsmmuError) throw error;
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (errnoOf(error) === 'ENOTDIR') throw noRecording(dir, 'this is a file, not a folder', error);
    throw unreadable(path, messageOf(error), error);
  }
}

function unreadable(path: string, why: string, cause?: unknown): VsmmuError {
  return new VsmmuError('RECORDING_UNREADABLE', `it cannot be read: ${why}`, {
    place: path,
    remedy: 'Check the path and its permissions.',
    cause,
  });
}

class Recording implements HostSource {
  readonly origin: string;
  readonly findings: readonly Finding[];
  readonly #parts: RecordingParts;
  readonly #tree = new RecordedTree();

  constructor(dir: string, parts: RecordingParts) {
    this.origin = `recording ${dir}`;
    this.#parts = parts;
    this.findings = damageFindings(dir, parts);
    for (const [path, entry] of parts.sysfs?.entries ?? []) this.#tree.add(path, entry);
    const header = (path: string, content: string | undefined) => {
      if (content !== undefined && !this.#tree.exists(path)) this.#tree.add(path, { kind: 'file', content });
    };
    header('/proc/version', parts.sysfs?.version);
    header('/proc/cmdline', parts.sysfs?.commandLine);
  }

  readText(path: string): Read<string> {
    return this.#unlessMissing(path, this.#tree.readText(path));
  }

  /** Bytes of a binary file stand in the recording as code points up to U+00FF. */
  readBytes(path: string): Read<Uint8Array> {
    const text = this.readText(path);
    if (!text.ok) return text;
    const bytes = Buffer.from(text.value, 'latin1');
    return bytes.toString('latin1') === text.value
      ? succeeded(bytes)
      : failed(NOT_RECORDED, `${path} was recorded as text, not as bytes`);
  }

  readLink(path: string): Read<string> {
    return this.#unlessMissing(path, this.#tree.readLink(path));
  }

  list(path: string): Read<readonly string[]> {
    return this.#unlessMissing(path, this.#tree.list(path));
  }

  exists(path: string): Read<boolean> {
    if (this.#tree.exists(path)) return succeeded(true);
    return this.#says(path) ? succeeded(false) : failed(NOT_RECORDED, `${path} was not recorded`);
  }

  pciConfig(bdf: Bdf): Read<Uint8Array> {
    if (this.#parts.pciConfig === undefined)
      return failed(NOT_RECORDED, `the recording has no ${RECORDING_FILES.pciConfig}`);
    const config = this.#parts.pciConfig.configs.get(bdf);
    return config === undefined
      ? failed(NOT_RECORDED, `${RECORDING_FILES.pciConfig} has no config space of it`)
      : succeeded(config);
  }

  devicesBeyondSysfs(): readonly Bdf[] {
    const { pciConfig, hwInfo } = this.#parts;
    return [...(pciConfig?.configs.keys() ?? []), ...(hwInfo?.replies.keys() ?? [])];
  }

  hwInfo({ bdf }: { readonly bdf: Bdf }): Promise<DeviceReplies> {
    const replies = this.#parts.hwInfo?.replies.get(bdf) ?? {
      hwInfo: notRecorded(bdf, HwInfoType.none),
      cmdqv: notRecorded(bdf, HwInfoType.tegra241Cmdqv),
      nesting: nestingNotRecorded(bdf),
    };
    return Promise.resolve({ ...replies, evidence: [], findings: [] });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Is the recording's silence about a path knowledge that nothing is there? */
  #says(path: string): boolean {
    const { sysfs } = this.#parts;
    // A line that was lost may have been about this path.
    if (sysfs === undefined || sysfs.damaged.length > 0) return false;
    return path.startsWith('/sys/') || (path.startsWith('/dev/') && sysfs.hasDeviceNodes);
  }

  #unlessMissing<T>(path: string, read: Read<T>): Read<T> {
    if (read.ok || read.errno !== 'ENOENT' || this.#says(path)) return read;
    const missing =
      this.#parts.sysfs === undefined
        ? `the recording has no ${RECORDING_FILES.sysfs}`
        : `${path} was not recorded`;
    return failed(NOT_RECORDED, missing);
  }
}

function damageFindings(dir: string, parts: RecordingParts): Finding[] {
  const inFile = (name: string, lines: SysfsRecording['damaged'] | undefined) =>
    (lines ?? []).map(({ line, reason }) => ({ place: `${join(dir, name)}:${line}`, reason }));
  return [
    ...listed(inFile(RECORDING_FILES.sysfs, parts.sysfs?.damaged)),
    ...listed(inFile(RECORDING_FILES.pciConfig, parts.pciConfig?.damaged)),
    ...listed(parts.hwInfo?.damaged ?? []),
  ];
}

function listed(damaged: readonly { readonly place: string; readonly reason: string }[]): Finding[] {
  const findings = damaged.slice(0, DAMAGE_LISTED).map(({ place, reason }) => finding(place, reason));
  const [, , , , , next] = damaged;
  if (next !== undefined)
    findings.push(
      finding(next.place, `and ${damaged.length - DAMAGE_LISTED} more damaged places from here on`),
    );
  return findings;
}

function finding(subject: string, reason: string): Finding {
  return {
    code: 'RECORDING_DAMAGED',
    subject,
    message: `${subject}: ${reason}`,
    remedy: 'Record the host again, or repair the line; what it says was not used.',
  };
}
