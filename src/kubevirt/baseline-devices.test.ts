import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { VsmmuError } from '../errors.js';
import { parseBaselineDevices, renderBaselineDevices } from './baseline-devices.js';

describe('the text of vsmmu.io/baseline-devices', () => {
  test('what is written is read again, in one order', () => {
    const id = fc.nat(0xffff).map((number) => number.toString(16).padStart(4, '0'));
    const model = fc.tuple(id, id).map((ids) => ids.join(':'));
    fc.assert(
      fc.property(fc.dictionary(model, fc.constantFrom('yes', 'no')), (models) => {
        const entries = Object.entries(models);
        const text = renderBaselineDevices(entries);
        expect(renderBaselineDevices(entries.toReversed())).toBe(text);
        expect(parseBaselineDevices(text ?? '')).toEqual(new Map(entries));
      }),
    );
  });

  test('what cannot be said of a device is not written', () => {
    const models = [
      ['15b3:a2dc', 'no'],
      ['?:?', 'yes'],
      ['10de:2941', 'unknown'],
    ] as const;
    expect(renderBaselineDevices(models)).toBe('15b3:a2dc=no');
    expect(renderBaselineDevices([['10de:2941', 'unknown']])).toBeUndefined();
  });

  test.each(['10de:2941', '10de:2941=maybe', '10DE:2941=yes', '10de:2941=yes,', "10de:2941=yes'/>", ' '])(
    'refused: %j',
    (text) => {
      expect(() => parseBaselineDevices(text)).toThrow(VsmmuError);
    },
  );

  test('refused: more models than a fleet has', () => {
    const many = Array.from({ length: 1025 }, (_, i) => `10de:${i.toString(16).padStart(4, '0')}=no`);
    expect(() => parseBaselineDevices(many.join(','))).toThrow('more than 1024 models');
  });
});
