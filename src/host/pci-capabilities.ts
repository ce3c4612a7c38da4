import { known, unknown, type Answer, type Evidence } from '../smmu/answer.js';
import { remedyFor, type Read } from './host-source.js';
import { PciRegs } from './pci-regs.js';
import type { PasidCapability } from './report.js';

/** The Device Serial Number's first word, behind the capability's header. */
const SERIAL_NUMBER = 0x04;

const UNPRIVILEGED_BYTES = PciRegs.STD_HEADER_SIZEOF;
const CONVENTIONAL_BYTES = PciRegs.CFG_SPACE_SIZE;
const EXTENDED_BYTES = PciRegs.CFG_SPACE_EXP_SIZE;
/** The extended list begins where conventional config space ends. */
const EXTENDED_START = CONVENTIONAL_BYTES;

export interface PciCapabilities {
  readonly ats: Answer<boolean>;
  readonly pri: Answer<boolean>;
  readonly pasid: Answer<PasidCapability | null>;
  readonly sriov: Answer<boolean>;
  /** Why the list is damaged, where it is. */
  readonly damage: string | undefined;
  /** Only what an unprivileged reader gets was readable. */
  readonly unprivileged: boolean;
}

/** Extended capabilities found, and why the list may not be complete. */
interface ExtendedList {
  readonly at: ReadonlyMap<number, number>;
  readonly incomplete: string | undefined;
  readonly remedy: string;
  readonly damaged: boolean;
}

/** @param source for evidence: "config space of 0000:01:00.0" */
export function readCapabilities(config: Read<Uint8Array>, source: string): PciCapabilities {
  const list = config.ok
    ? extendedList(config.value)
    : {
        at: new Map<number, number>(),
        incomplete: config.because,
        remedy: remedyFor(config, READABLE),
        damaged: false,
      };
  const has = (id: number): Answer<boolean> => {
    const offset = list.at.get(id);
    if (offset !== undefined) return known(true, present(id, offset, source));
    if (list.incomplete !== undefined) return unknown(list.incomplete, list.remedy);
    return known(false, absent(id, source));
  };
  return {
    ats: has(PciRegs.EXT_CAP_ID_ATS),
    pri: has(PciRegs.EXT_CAP_ID_PRI),
    sriov: has(PciRegs.EXT_CAP_ID_SRIOV),
    pasid: pasidOf(config, list, source),
    damage: list.damaged ? list.incomplete : undefined,
    unprivileged: config.ok && config.value.length === UNPRIVILEGED_BYTES,
  };
}

const READABLE =
  'Let the reader open config space with CAP_SYS_ADMIN in the initial user namespace, as root on the host has it.';
const RESCAN = 'Look at the device with lspci -xxxx; a reset or a rescan of the bus may help.';

function present(id: number, offset: number, source: string): Evidence {
  return { reading: `extended capability ${hex(id, 4)} at ${hex(offset, 3)}`, source };
}

function absent(id: number, source: string): Evidence {
  return { reading: `no extended capability ${hex(id, 4)}`, source };
}

function hex(value: number, width: number): string {
  return `0x${value.toString(16).padStart(width, '0')}`;
}

function pasidOf(
  config: Read<Uint8Array>,
  list: ExtendedList,
  source: string,
): Answer<PasidCapability | null> {
  const offset = list.at.get(PciRegs.EXT_CAP_ID_PASID);
  if (offset === undefined || !config.ok)
    return list.incomplete === undefined
      ? known(null, absent(PciRegs.EXT_CAP_ID_PASID, source))
      : unknown(list.incomplete, list.remedy);
  const register = u16(config.value, offset + PciRegs.PASID_CAP);
  if (register === undefined)
    return unknown(`config space ends inside the PASID capability at ${hex(offset, 3)}`, READABLE);
  const capability = {
    exec: (register & PciRegs.PASID_CAP_EXEC) !== 0,
    priv: (register & PciRegs.PASID_CAP_PRIV) !== 0,
    maxWidth: (register & PciRegs.PASID_CAP_WIDTH) >> 8,
  };
  return known(capability, {
    reading: `PASID capability at ${hex(offset, 3)}: ${capability.maxWidth} bits`,
    source,
  });
}

function extendedList(bytes: Uint8Array): ExtendedList {
  const nothing = (incomplete: string | undefined, remedy = READABLE, damaged = false): ExtendedList => ({
    at: new Map(),
    incomplete,
    remedy,
    damaged,
  });
  if (bytes.length < CONVENTIONAL_BYTES)
    return nothing(
      bytes.length === UNPRIVILEGED_BYTES
        ? 'only the first 64 bytes of config space were readable, which is what a reader without CAP_SYS_ADMIN gets'
        : `only ${bytes.length} bytes of config space were readable`,
    );
  if (bytes.subarray(0, UNPRIVILEGED_BYTES).every((byte) => byte === 0xff))
    return nothing('config space reads as all ones: the device does not answer', RESCAN, true);
  if (bytes.length > CONVENTIONAL_BYTES) return walkExtended(bytes);

  const express = hasPciExpress(bytes);
  if (express === 'no') return nothing(undefined);
  return express === 'yes'
    ? nothing('only 256 bytes of config space were readable of a PCI Express function that has 4096')
    : nothing('the capability list is damaged', RESCAN, true);
}

/** A function without the PCI Express capability has no extended config space, hence none of its capabilities. */
function hasPciExpress(bytes: Uint8Array): 'yes' | 'no' | 'damaged' {
  if (((bytes[PciRegs.STATUS] ?? 0) & PciRegs.STATUS_CAP_LIST) === 0) return 'no';
  const seen = new Set<number>();
  for (
    let offset = (bytes[PciRegs.CAPABILITY_LIST] ?? 0) & 0xfc;
    offset !== 0;
    offset = (bytes[offset + 1] ?? 0) & 0xfc
  ) {
    if (offset < UNPRIVILEGED_BYTES || seen.has(offset)) return 'damaged';
    if (bytes[offset] === PciRegs.CAP_ID_EXP) return 'yes';
    seen.add(offset);
  }
  return 'no';
}

/** Where the Device Serial Number stands, 8 bytes; undefined where there is none, or config space is damaged before it. */
export function serialNumberAt(bytes: Uint8Array): number | undefined {
  const offset =
    bytes.length > CONVENTIONAL_BYTES ? walkExtended(bytes).at.get(PciRegs.EXT_CAP_ID_DSN) : undefined;
  return offset === undefined ? undefined : offset + SERIAL_NUMBER;
}

/** Walks the list at 0x100. What stands before a damaged place is still known; what may stand behind it is not. */
function walkExtended(bytes: Uint8Array): ExtendedList {
  const at = new Map<number, number>();
  const seen = new Set<number>();
  const stopped = (incomplete: string): ExtendedList => ({ at, incomplete, remedy: RESCAN, damaged: true });
  for (let offset: number = EXTENDED_START; ;) {
    const header = u32(bytes, offset);
    if (header === undefined && bytes.length < EXTENDED_BYTES) return { at, ...cutShort(bytes.length) };
    if (header === undefined)
      return stopped(`the extended capability list points outside of config space, to ${hex(offset, 3)}`);
    if (header === 0xffffffff)
      return stopped(`the extended capability at ${hex(offset, 3)} reads as all ones`);
    if (header === 0) return { at, incomplete: undefined, remedy: READABLE, damaged: false };
    seen.add(offset);
    const id = header & 0xffff;
    if (!at.has(id)) at.set(id, offset);
    const next = (header >>> 20) & 0xffc;
    if (next === 0) return { at, incomplete: undefined, remedy: READABLE, damaged: false };
    if (next < EXTENDED_START)
      return stopped(`the extended capability at ${hex(offset, 3)} points below 0x100, to ${hex(next, 3)}`);
    if (seen.has(next)) return stopped(`the extended capability list loops at ${hex(next, 3)}`);
    offset = next;
  }
}

function cutShort(length: number): Omit<ExtendedList, 'at'> {
  return {
    incomplete: `only ${length} of ${EXTENDED_BYTES} bytes of config space were readable`,
    remedy: READABLE,
    damaged: false,
  };
}

function u16(bytes: Uint8Array, offset: number): number | undefined {
  const low = bytes[offset];
  const high = bytes[offset + 1];
  return low === undefined || high === undefined ? undefined : low | (high << 8);
}

function u32(bytes: Uint8Array, offset: number): number | undefined {
  const low = u16(bytes, offset);
  const high = u16(bytes, offset + 2);
  return low === undefined || high === undefined ? undefined : (low | (high << 16)) >>> 0;
}
