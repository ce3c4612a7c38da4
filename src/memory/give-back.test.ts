import { readFileSync, readlinkSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

import { droppable, giveBack, openMemoryCalls } from './give-back.js';

const OWN = { Shared_Dirty: 0, Private_Dirty: 0, Anonymous: 0, Swap: 0 };
/** A mapping as the kernel tells it, with these pages of its own in KiB; undefined leaves a field out. */
const mapping = (line: string, own: Partial<Record<keyof typeof OWN, number | undefined>> = {}) =>
  [
    line,
    'Size:               4096 kB',
    'Rss:                1024 kB',
    ...Object.entries({ ...OWN, ...own })
      .filter(([, kib]) => kib !== undefined)
      .map(([name, kib]) => `${name}:      ${kib} kB`),
    'SwapPss:               0 kB',
  ].join('\n');
const CODE = '1000-3000 r-xp 00000000 fe:00 12   /usr/bin/node';
const CONSTANTS = '1000-3000 r--p 00000000 fe:00 12   /usr/bin/node';

describe('mappings that can be dropped', () => {
  test.each([
    ['code', mapping(CODE), true],
    ['constants', mapping(CONSTANTS), true],
    ['constants with relocations in them', mapping(CONSTANTS, { Anonymous: 8, Private_Dirty: 8 }), false],
    ['relocations that were swapped out', mapping(CONSTANTS, { Swap: 8 }), false],
    ['relocations that are clean', mapping(CONSTANTS, { Anonymous: 8 }), false],
    ['dirty pages', mapping(CODE, { Private_Dirty: 4 }), false],
    ['dirty pages that are shared', mapping(CODE, { Shared_Dirty: 4 }), false],
    ['a kernel that does not tell of swap', mapping(CODE, { Swap: undefined }), false],
    ['variables', mapping('1000-3000 rw-p 00000000 fe:00 12   /usr/bin/node'), false],
    ['a shared mapping', mapping('1000-3000 r--s 00000000 fe:00 12   /usr/bin/node'), false],
    ['a library', mapping('1000-3000 r-xp 00000000 fe:00 12   /usr/lib/libc.so.6'), false],
    ['a file whose name goes on', mapping('1000-3000 r-xp 00000000 fe:00 12   /usr/bin/node2'), false],
    ['memory without a file', mapping('1000-3000 r-xp 00000000 00:00 0 '), false],
  ])('%s', (_name, smaps, expected) => {
    expect(droppable(smaps, '/usr/bin/node')).toEqual(expected ? [{ from: 0x1000n, to: 0x3000n }] : []);
  });

  test('each mapping is judged by its own lines', () => {
    const smaps = [
      mapping(CONSTANTS, { Anonymous: 8 }),
      mapping('7fff00000000-7fff00001000 r-xp 00000000 fe:00 12   /usr/bin/node'),
      mapping('8000-9000 rw-p 00000000 00:00 0 '),
    ].join('\n');
    expect(droppable(smaps, '/usr/bin/node')).toEqual([{ from: 0x7fff00000000n, to: 0x7fff00001000n }]);
  });
});

test('this very process loses pages of its program, and runs on', async () => {
  const calls = await openMemoryCalls();
  if (calls === undefined) throw new Error('there is no library to give memory back with');
  const before = programKib();
  giveBack(calls);
  expect(programKib()).toBeLessThan(before / 2);
  expect(JSON.parse('{"still":[1,2,3]}')).toEqual({ still: [1, 2, 3] });
});

/** Resident pages of the program that can be dropped. */
function programKib(): number {
  const smaps = readFileSync('/proc/self/smaps', 'utf8');
  const starts = new Set(
    droppable(smaps, readlinkSync('/proc/self/exe')).map(({ from }) => from.toString(16)),
  );
  let kib = 0;
  let counted = false;
  for (const line of smaps.split('\n')) {
    const start = /^0*([0-9a-f]+)-[0-9a-f]+ /.exec(line)?.[1];
    if (start !== undefined) counted = starts.has(start);
    else if (counted) kib += Number(/^Rss: +(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  return kib;
}
