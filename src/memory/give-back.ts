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
 * writable, and without a page of their own. Relocations leave such pages behind, which may have been swapped out;
 * to drop those would undo them.
 *
 * @param smaps /proc/self/smaps (Documentation/filesystems/proc.rst)
 */
export function droppable(smaps: string, file: string): Range[] {
  const ranges: Range[] = [];
  let candidate: (Range & { readonly clean: Set<string> }) | undefined;
  for (const line of smaps.split('\n')) {
    const [, from, to, access, path] = MAPPING.exec(line) ?? [];
    if (from !== undefined) {
      const fits = path === file && (access === 'r-xp' || access === 'r--p');
      candidate = fits ? { from: BigInt(`0x${from}`), to: BigInt(`0x${to}`), clean: new Set() } : undefined;
      continue;
    }
    const [, clean] = NOTHING.exec(line) ?? [];
    if (candidate === undefined || clean === undefined) continue;
    candidate.clean.add(clean);
    // All four are zero, and said to be: a kernel that does not tell one of them says nothing of the pages.
    if (candidate.clean.size === OWN_PAGES) ranges.push({ from: candidate.from, to: candidate.to });
  }
  return ranges;
}

/** "7f00-7f01 r-xp 00001000 fe:00 1234   /usr/bin/node" */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(.*)$/;
/** The fields that count pages which are not the file's any more. */
const NOTHING = /^(Shared_Dirty|Private_Dirty|Anonymous|Swap): +0 kB$/;
const OWN_PAGES = 4;

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
