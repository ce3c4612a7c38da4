import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { bdfParts, compareBdf, formatBdf, parseBdf } from './bdf.js';

const parts = fc.record({
  domain: fc.oneof(fc.nat(0xffff), fc.nat(0x7fffffff)),
  bus: fc.nat(0xff),
  slot: fc.nat(0x1f),
  fn: fc.nat(7),
});
const address = parts.map(({ domain, bus, slot, fn }) => formatBdf(domain, bus, slot, fn)!);

describe('laws of addresses', () => {
  test('what is written is read as the same parts, in either case', () => {
    fc.assert(
      fc.property(parts, ({ domain, bus, slot, fn }) => {
        const written = formatBdf(domain, bus, slot, fn)!;
        expect(bdfParts(written)).toEqual({ domain, bus, slot, fn });
        expect(parseBdf(written.toUpperCase())).toBe(written);
      }),
    );
  });

  test('the order is that of the numbers: domain, bus, slot, function', () => {
    const numbers = (one: Parameters<typeof bdfParts>[0]) => {
      const { domain, bus, slot, fn } = bdfParts(one);
      return domain * 2 ** 16 + bus * 2 ** 8 + slot * 2 ** 3 + fn;
    };
    fc.assert(
      fc.property(address, address, (a, b) => {
        expect(Math.sign(compareBdf(a, b))).toBe(Math.sign(numbers(a) - numbers(b)));
      }),
    );
  });

  test('any text is an address or none, and an address is written as itself', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), address, fc.stringMatching(/^[0-9a-f]{1,9}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9]$/)),
        (text) => {
          const parsed = parseBdf(text);
          if (parsed === undefined) return;
          const { domain, bus, slot, fn } = bdfParts(parsed);
          expect([domain <= 0xffffffff, bus <= 0xff, slot <= 0x1f, fn <= 7]).toEqual([
            true,
            true,
            true,
            true,
          ]);
          expect(parsed).toBe(text.toLowerCase());
        },
      ),
    );
  });
});
