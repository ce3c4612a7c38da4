import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseIort } from './firmware-ats.js';

/** An IORT of root complex nodes, and others between them. */
function iort(nodes: readonly { type: number; segment: number; ats: number }[]): Buffer {
  const bodies = nodes.map(({ type, segment, ats }) => {
    const node = Buffer.alloc(36);
    node[0] = type;
    node.writeUInt16LE(36, 1);
    node.writeUInt32LE(ats, 24);
    node.writeUInt32LE(segment, 28);
    return node;
  });
  const head = Buffer.alloc(48);
  head.write('IORT', 'latin1');
  head.writeUInt32LE(nodes.length, 36);
  head.writeUInt32LE(48, 40);
  const table = Buffer.concat([head, ...bodies]);
  table.writeUInt32LE(table.length, 4);
  return table;
}

test('reads the ATS attribute of each segment, of root complexes only', () => {
  const parsed = parseIort(
    iort([
      { type: 0, segment: 9, ats: 1 },
      { type: 2, segment: 0, ats: 0 },
      { type: 2, segment: 9, ats: 1 },
      { type: 4, segment: 0, ats: 1 },
    ]),
  );
  expect(parsed).toEqual(
    new Map([
      [0, false],
      [9, true],
    ]),
  );
});

test.each([
  ['not a table', Buffer.from('APIC'), /does not begin/],
  ['cut short', iort([{ type: 2, segment: 0, ats: 1 }]).subarray(0, 60), /length/],
])('%s', (_name, bytes, reason) => {
  expect(parseIort(bytes)).toMatch(reason);
});

test('any bytes end in a map or a reason', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, framed) => {
      const bytes = framed ? iort([{ type: 2, segment: 0, ats: 1 }]) : Buffer.from(noise);
      if (framed) bytes.set(noise.subarray(0, 48), 36);
      const parsed = parseIort(bytes);
      expect(typeof parsed === 'string' || parsed instanceof Map).toBe(true);
    }),
    { numRuns: 1000 },
  );
});
