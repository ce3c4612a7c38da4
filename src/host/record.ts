import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import type { Bdf } from '../bdf.js';
import { ExitStatus, VsmmuError, errnoOf, messageOf } from '../errors.js';
import { HwInfoType } from '../smmu/compatibility.js';
import type { DeviceReplies, HwInfoReply, NestingReply } from './hw-info.js';
import { NOT_RECORDED, withHwInfo, type HostSource } from './host-source.js';
import { HwInfo, HwInfoFlag } from './iommufd-uapi.js';
import { serialNumberAt } from './pci-capabilities.js';
import { probeHost } from './probe.js';
import { recordSysfs } from './record-sysfs.js';
import { RECORDING_FILES } from './recording.js';
import type { HostReport } from './report.js';
import { PCI_DEVICES } from './sysfs-device.js';

/** Bytes of the Device Serial Number. */
const SERIAL_BYTES = 8;

export interface RecordResult {
  readonly report: HostReport;
  readonly files: readonly string[];
}

/**
 * Writes a recording of the host into `dir`, which must not be there yet; it appears whole or not at all.
 * @throws VsmmuError UNWRITABLE_FILE
 */
export async function recordHost(
  source: HostSource,
  dir: string,
  signal?: AbortSignal,
): Promise<RecordResult> {
  await refuseExisting(dir);
  const told = new Map<Bdf, DeviceReplies>();
  const report = await probeHost(listening(source, told), { signal });
  const sysfs = source.list(PCI_DEVICES);
  const silent = !sysfs.ok && sysfs.errno === NOT_RECORDED;
  const pciConfig = recordPciConfig(source, report);
  // An empty sysfs.txt would say that nothing is there; a missing one says that it is not known.
  const files = {
    ...(silent ? {} : { [RECORDING_FILES.sysfs]: recordSysfs(source, report) }),
    ...(pciConfig === '' ? {} : { [RECORDING_FILES.pciConfig]: pciConfig }),
    [RECORDING_FILES.hwInfo]: recordReplies(told),
  };
  await writeFolder(dir, files);
  return { report, files: Object.keys(files) };
}

async function refuseExisting(dir: string): Promise<void> {
  try {
    await stat(dir);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw unwritable(dir, error);
  }
  throw new VsmmuError('UNWRITABLE_FILE', `${dir} is there already`, {
    place: dir,
    remedy: 'Name a folder that does not exist yet; it will be made.',
    exitStatus: ExitStatus.usage,
  });
}

async function writeFolder(dir: string, files: Readonly<Record<string, string>>): Promise<void> {
  const beside = `${resolve(dir)}.partial-${process.pid}`;
  try {
    await mkdir(beside, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(beside, name), text);
    await rename(beside, dir);
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw unwritable(dir, error);
  }
}

function unwritable(dir: string, cause: unknown): VsmmuError {
  return new VsmmuError('UNWRITABLE_FILE', `cannot write ${dir}: ${messageOf(cause)}`, {
    place: dir,
    remedy: 'Name a folder in a place that can be written.',
    cause,
  });
}

/** The same host; what devices answer is kept beside. */
function listening(source: HostSource, told: Map<Bdf, DeviceReplies>): HostSource {
  return withHwInfo(source, async (target, signal) => {
    const replies = await source.hwInfo(target, signal);
    told.set(target.bdf, replies);
    return replies;
  });
}

/** As `lspci -xxxx` prints it, serial numbers overwritten with zeros. */
function recordPciConfig(source: HostSource, report: HostReport): string {
  let text = '';
  for (const { bdf } of report.devices) {
    const config = source.pciConfig(bdf);
    if (!config.ok) continue;
    const bytes = Uint8Array.from(config.value);
    const serial = serialNumberAt(bytes);
    if (serial !== undefined) bytes.fill(0, serial, serial + SERIAL_BYTES);
    text += `${bdf} PCI function\n`;
    for (let at = 0; at + 16 <= bytes.length; at += 16) {
      const row = [...bytes.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
      text += `${at.toString(16).padStart(2, '0')}: ${row.join(' ')}\n`;
    }
    text += '\n';
  }
  return text;
}

function recordReplies(told: ReadonlyMap<Bdf, DeviceReplies>): string {
  const items: object[] = [];
  for (const [bdf, { hwInfo, cmdqv, nesting }] of told) {
    if (hwInfo.kind === 'not-asked') {
      const { because, remedy, code } = hwInfo;
      items.push({ bdf, query: 'not asked', because, remedy, code });
      continue;
    }
    items.push(recordQuery(bdf, 'default query', 0, HwInfoType.none, hwInfo));
    if (cmdqv.kind !== 'not-asked')
      items.push(recordQuery(bdf, 'INPUT_TYPE=3', HwInfoFlag.inputType, HwInfoType.tegra241Cmdqv, cmdqv));
    if (nesting.kind !== 'not-asked') items.push(recordNesting(bdf, nesting));
  }
  return `${JSON.stringify(items, null, 1)}\n`;
}

function recordQuery(
  bdf: Bdf,
  query: string,
  flags: number,
  inType: number,
  reply: Exclude<HwInfoReply, { kind: 'not-asked' }>,
): object {
  const asked = { bdf, query, size: HwInfo.size, flags, in_type: inType };
  if (reply.kind === 'failed')
    return { ...asked, in_len: HwInfo.size, rc: -1, errno: errnoNumber(reply.errno), step: reply.step };
  return {
    ...asked,
    in_len: Math.max(reply.data.length, HwInfo.size),
    rc: 0,
    errno: 0,
    struct_hex: structHex(flags, reply),
    data_hex: Buffer.from(reply.data).toString('hex'),
  };
}

/** The struct as it came back, but for the address of the buffer, which says nothing. */
function structHex(flags: number, reply: Extract<HwInfoReply, { kind: 'answer' }>): string {
  const bytes = Buffer.alloc(HwInfo.size);
  bytes.writeUInt32LE(HwInfo.size, HwInfo.offset.size);
  bytes.writeUInt32LE(flags, HwInfo.offset.flags);
  bytes.writeUInt32LE(reply.dataLen, HwInfo.offset.dataLen);
  bytes.writeUInt32LE(reply.dataType, HwInfo.offset.dataType);
  bytes.writeUInt8(reply.maxPasidLog2, HwInfo.offset.outMaxPasidLog2);
  bytes.writeBigUInt64LE(reply.capabilities, HwInfo.offset.outCapabilities);
  return bytes.toString('hex');
}

function recordNesting(bdf: Bdf, reply: Exclude<NestingReply, { kind: 'not-asked' }>): object {
  return reply.kind === 'allowed'
    ? { bdf, query: 'nesting', step: 'viommu-alloc', rc: 0, errno: 0 }
    : { bdf, query: 'nesting', step: reply.step, rc: -1, errno: errnoNumber(reply.errno) };
}

function errnoNumber(name: string): number {
  const known: Readonly<Record<string, number>> = constants.errno;
  return known[name] ?? (Number(/\d+/.exec(name)?.[0] ?? '0') || constants.errno.EIO);
}
