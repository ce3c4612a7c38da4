import { readFileSync, readlinkSync } from 'node:fs';

/** Addresses of a mapping, in bytes; the end is exclusive. */
export interface Range {
  readonly from: bigint;
  readonly to: bigint;
}

/** What the C library and the kernel are asked for. */
export interface MemoryCalls {
  /** malloc_trim(3): what malloc keeps for later goes back to the kernel. */
  trim(): void;
  /** madvise(2) MADV_DONTNEED. */
  dontNeed(range: Range): void;
}

/** linux/mman.h (asm-generic/mman-common.h), the same on x86-64 and AArch64. */
const MADV_DONTNEED = 4;

/** @returns undefined where there is no such library (koffi), or no malloc_trim in it (musl) */
export async function openMemoryCalls(): Promise<MemoryCalls | undefined> {
  try {
    const { default: koffi } = await import('koffi');
    const libc = koffi.load(null);
    const trim = libc.func('malloc_trim', 'int', ['size_t']);
    const madvise = libc.func('madvise', 'int', ['uintptr_t', 'size_t', 'int']);
    return {
      trim: () => void trim(0),
      dontNeed: ({ from, to }) => void madvise(from, to - from, MADV_DONTNEED),
    };
  } catch {
    return undefined;
  }
}

/**
 * The mappings of one file that can be dropped and are read anew from it when they are touched: readable, not
 * writable, and without a page of their own ("Anonymous", which relocations leave behind).
 *
 * @param smaps /proc/self/smaps (Documentation/filesystems/proc.rst)
 */
export function droppable(smaps: string, file: string): Range[] {
  const ranges: Range[] = [];
  let candidate: Range | undefined;
  for (const line of smaps.split('\n')) {
    const [, from, to, access, path] = MAPPING.exec(line) ?? [];
    if (from !== undefined)
      candidate =
        path === file && (access === 'r-xp' || access === 'r--p')
          ? { from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) }
          : undefined;
    else if (candidate !== undefined && /^Anonymous: +0 kB$/.test(line)) ranges.push(candidate);
  }
  return ranges;
}

/** "7f00-7f01 r-xp 00001000 fe:00 1234   /usr/bin/node" */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(.*)$/;

/**
 * Half of the resident memory of a small Node process is pages of the program file that its start alone touched: the
 * snapshot, the parser, the compilers. They are the page cache's to keep or to give away; what still runs comes back
 * from there, 64 KiB at a fault. Only the program itself: it is never unmapped, as a library may be meanwhile.
 */
export function giveBack(calls: MemoryCalls): void {
  calls.trim();
  const program = readlinkSync('/proc/self/exe');
  for (const range of droppable(readFileSync('/proc/self/smaps', 'utf8'), program)) calls.dontNeed(range);
}
