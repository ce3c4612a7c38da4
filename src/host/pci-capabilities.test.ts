import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { yesNo } from '../smmu/answer.js';
import { failed, succeeded } from './host-source.js';
import { readCapabilities, type PciCapabilities } from './pci-capabilities.js';

const SOURCE = 'config space of 0000:01:00.0';
const read = (bytes: Uint8Array) => readCapabilities(succeeded(bytes), SOURCE);

interface Capability {
  readonly id: number;
  readonly at: number;
  readonly next: number;
  readonly register?: number;
}

/** Config space of a PCI Express function with these extended capabilities. */
function expressSpace(capabilities: readonly Capability[], length = 4096): Uint8Array {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(0x10d38086, 0);
  bytes.writeUInt16LE(0x0010, 0x06);
  bytes[0x34] = 0x40;
  if (length > 0x41) bytes.writeUInt16LE(0x0010, 0x40);
  for (const { id, at, next, register } of capabilities) {
    bytes.writeUInt32LE(((next << 20) | (1 << 16) | id) >>> 0, at);
    if (register !== undefined) bytes.writeUInt16LE(register, at + 4);
  }
  return bytes;
}

function answers({ ats, pri, pasid }: PciCapabilities): string[] {
  return [yesNo(ats), yesNo(pri), pasid.known ? (pasid.value === null ? 'no' : 'yes') : 'unknown'];
}

const ALL = expressSpace([
  { id: 0x0f, at: 0x100, next: 0x150 },
  { id: 0x13, at: 0x150, next: 0x200 },
  { id: 0x1b, at: 0x200, next: 0, register: (20 << 8) | 0x4 },
]);

describe('extended capabilities', () => {
  test('ATS, PRI and PASID, with what PASID says', () => {
    const found = read(ALL);
    expect(answers(found)).toEqual(['yes', 'yes', 'yes']);
    expect(found.ats.evidence).toEqual([{ reading: 'extended capability 0x000f at 0x100', source: SOURCE }]);
    expect(found.pasid).toMatchObject({ value: { maxWidth: 20, exec: false, priv: true } });
    expect(found.damage).toBeUndefined();
  });

  const conventional = Buffer.alloc(256);
  conventional.writeUInt16LE(0x1af4, 0);
  test.each<[string, Uint8Array, string, RegExp | undefined]>([
    ['an empty list', expressSpace([]), 'no no no', undefined],
    ['64 bytes', expressSpace([], 64), 'unknown unknown unknown', undefined],
    ['no bytes', new Uint8Array(0), 'unknown unknown unknown', undefined],
    ['256 bytes of a PCI Express function', expressSpace([], 256), 'unknown unknown unknown', undefined],
    ['256 bytes of a conventional function', conventional, 'no no no', undefined],
    ['all ones', new Uint8Array(4096).fill(0xff), 'unknown unknown unknown', /all ones/],
    [
      'ones where extended space begins',
      Buffer.concat([expressSpace([], 256), new Uint8Array(3840).fill(0xff)]),
      'unknown unknown unknown',
      /all ones/,
    ],
    ['a loop', expressSpace([{ id: 0x0f, at: 0x100, next: 0x100 }]), 'yes unknown unknown', /loops at 0x100/],
    [
      'a longer loop',
      expressSpace([
        { id: 0x0f, at: 0x100, next: 0x140 },
        { id: 0x13, at: 0x140, next: 0x100 },
      ]),
      'yes yes unknown',
      /loops/,
    ],
    [
      'a pointer below 0x100',
      expressSpace([{ id: 0x0f, at: 0x100, next: 0x40 }]),
      'yes unknown unknown',
      /below/,
    ],
    [
      'a list cut short by the recording',
      expressSpace([{ id: 0x0f, at: 0x100, next: 0x300 }], 0x200),
      'yes unknown unknown',
      undefined,
    ],
  ])('%s', (_name, bytes, expected, damage) => {
    const found = read(bytes);
    expect(answers(found).join(' ')).toBe(expected);
    if (damage === undefined) expect(found.damage).toBeUndefined();
    else expect(found.damage).toMatch(damage);
  });

  test('what could not be read is unknown for that reason', () => {
    const found = readCapabilities(failed('EACCES', 'config: permission denied'), SOURCE);
    expect(found.ats).toMatchObject({ known: false, because: 'config: permission denied' });
  });

  test('64 bytes name the capability that a reader needs', () => {
    expect(read(ALL.subarray(0, 64)).ats).toMatchObject({
      known: false,
      because: expect.stringContaining('CAP_SYS_ADMIN'),
    });
  });

  test('any bytes end in an answer, and yes only where the id stands in them', () => {
    const property = fc.property(
      fc.uint8Array({ minLength: 0, maxLength: 600, size: 'max' }),
      fc.constantFrom(0, 64, 128, 256, 512, 4096),
      (noise, length) => {
        const bytes = Buffer.alloc(length);
        bytes.set(noise.subarray(0, length));
        const found = read(bytes);
        const stands = bytes.some((_, at) => at >= 0x100 && at % 4 === 0 && bytes.readUInt16LE(at) === 0x0f);
        if (found.ats.known && found.ats.value) expect(stands).toBe(true);
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  test('the more of a config space is read, the more is known; what was known stays', () => {
    const list = fc
      .uniqueArray(fc.integer({ min: 0, max: 900 }), { minLength: 1, maxLength: 12 })
      .map((slots) => slots.map((slot) => 0x104 + slot * 4).sort((a, b) => a - b));
    const ids = fc.array(fc.constantFrom(0x01, 0x0f, 0x10, 0x13, 0x1b), { minLength: 13, maxLength: 13 });
    fc.assert(
      fc.property(list, ids, fc.integer({ min: 0, max: 4096 }), (offsets, kinds, cut) => {
        const places = [0x100, ...offsets];
        const full = expressSpace(
          places.map((at, n) => ({ id: kinds[n] ?? 1, at, next: places[n + 1] ?? 0 })),
          4096,
        );
        const [short, whole] = [answers(read(full.subarray(0, cut))), answers(read(full))];
        expect(whole).not.toContain('unknown');
        short.forEach((answer, n) => {
          if (answer === 'yes') expect(whole[n]).toBe('yes');
          if (answer === 'no') expect(whole[n]).toBe('no');
        });
      }),
    );
  });
});
