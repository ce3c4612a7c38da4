import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { parseCpuset } from './cpuset.js';
import { parseLibvirtNumber } from './libvirt-number.js';

describe('numbers as libvirt reads them', () => {
  test('a number written in decimal, hexadecimal or octal is read as itself', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom('', ' ', '\t', '+'), (number, before) => {
        expect(parseLibvirtNumber(`${before}${number}`, 10)).toBe(number);
        expect(parseLibvirtNumber(`${before}0x${number.toString(16)}`, 0)).toBe(number);
        expect(parseLibvirtNumber(`${before}0${number.toString(8)}`, 0)).toBe(number);
      }),
    );
  });

  test('any text is a whole number or none', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom(0 as const, 10 as const), (text, base) => {
        const number = parseLibvirtNumber(text, base);
        expect(number === undefined || Number.isSafeInteger(number)).toBe(true);
      }),
    );
  });
});

describe('cpusets', () => {
  test('the ranges that are written are the numbers that are read, less those that are taken out', () => {
    const range = fc.tuple(fc.nat(300), fc.nat(20)).map(([first, more]) => [first, first + more] as const);
    fc.assert(
      fc.property(
        fc.array(range, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(320), { maxLength: 3 }),
        (ranges, out) => {
          const expected = new Set<number>();
          for (const [first, last] of ranges) for (let n = first; n <= last; n++) expected.add(n);
          for (const n of out) expected.delete(n);
          const text = [
            ...ranges.map(([first, last]) => `${first}-${last}`),
            ...out.map((n) => `^${n}`),
          ].join(',');
          expect([...(parseCpuset(text) ?? [])].sort((a, b) => a - b)).toEqual(
            [...expected].sort((a, b) => a - b),
          );
        },
      ),
    );
  });
});
