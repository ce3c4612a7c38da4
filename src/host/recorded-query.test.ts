import { expect, test } from '@jest/globals';

import { parseRecordedItem } from './recorded-query.js';

const BDF = '0009:01:00.0';
const QUERY = { bdf: BDF, size: 64, flags: 0, in_type: 0, in_len: 64, rc: 0, errno: 0 };
const NESTING = { bdf: BDF, query: 'nesting', step: 'viommu-alloc', rc: 0, errno: 0 };
const SILENCE = { bdf: BDF, query: 'not asked', because: 'in use', remedy: 'Stop the VM.' };

test('a query, a nesting and a silence are told apart; what else they carry is passed over', () => {
  expect(parseRecordedItem({ ...QUERY, struct_hex: '00', other: 1 })).toEqual({
    kind: 'query',
    item: {
      bdf: BDF,
      query: undefined,
      size: 64,
      flags: 0,
      inType: 0,
      inLen: 64,
      rc: 0,
      errno: 0,
      step: undefined,
      structHex: '00',
      dataHex: '',
    },
  });
  expect(parseRecordedItem({ ...NESTING, size: 1 })).toEqual({
    kind: 'nesting',
    item: { bdf: BDF, step: 'viommu-alloc', rc: 0, errno: 0 },
  });
  expect(parseRecordedItem(SILENCE)).toEqual({
    kind: 'silence',
    item: { bdf: BDF, because: 'in use', remedy: 'Stop the VM.', code: undefined },
  });
});

test.each<[unknown, string]>([
  [null, 'it is no object'],
  [[], 'it is no object'],
  ['', 'it is no object'],
  [{}, 'bdf is no text'],
  [{ ...QUERY, query: 1 }, 'query is no text'],
  [{ ...QUERY, struct_hex: null }, 'struct_hex is no text'],
  [{ ...QUERY, data_hex: [] }, 'data_hex is no text'],
  [{ ...QUERY, rc: 0.5 }, 'rc is no whole number'],
  [{ ...QUERY, errno: '0' }, 'errno is no whole number'],
  [{ ...QUERY, step: 'later' }, 'step is none of open-iommu'],
  [{ ...QUERY, size: -1 }, 'size is no whole number from 0 up'],
  [{ ...QUERY, in_len: undefined }, 'in_len is no whole number from 0 up'],
  [{ ...NESTING, step: undefined }, 'size is no whole number from 0 up'],
])('%j is none: %s', (json, flaw) => {
  expect(parseRecordedItem(json)).toEqual(expect.stringContaining(flaw));
});
