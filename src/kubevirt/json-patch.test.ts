import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import jsonPatch, { type Operation } from 'fast-json-patch';

import { jsonPointer, patchStringMap } from './json-patch.js';

test('a pointer escapes ~ before /', () => {
  expect(jsonPointer('metadata', 'annotations', 'hooks.kubevirt.io/hookSidecars')).toBe(
    '/metadata/annotations/hooks.kubevirt.io~1hookSidecars',
  );
  expect(jsonPointer('~1/~')).toBe('/~01~1~0');
});

test.each<[string, Record<string, string> | undefined, Record<string, string | undefined>, unknown[]]>([
  ['no map, nothing wanted', undefined, { a: undefined }, []],
  ['no map', undefined, { a: '1', b: undefined }, [{ op: 'add', path: '/m', value: { a: '1' } }]],
  ['a new key', { x: '0' }, { 'a/b': '1' }, [{ op: 'add', path: '/m/a~1b', value: '1' }]],
  ['another value', { a: '0' }, { a: '1' }, [{ op: 'replace', path: '/m/a', value: '1' }]],
  ['the same value', { a: '1' }, { a: '1' }, []],
  ['a key to go', { a: '1' }, { a: undefined }, [{ op: 'remove', path: '/m/a' }]],
  ['a key that is not there', {}, { a: undefined }, []],
  [
    'a key that every object inherits',
    {},
    { toString: undefined, constructor: '1' },
    [{ op: 'add', path: '/m/constructor', value: '1' }],
  ],
])('%s', (_, current, changes, operations) => {
  expect(patchStringMap('/m', current, changes)).toEqual(operations);
});

test('applied, the operations make exactly the changes, and a second time there are none', () => {
  const key = fc.oneof(fc.string(), fc.constantFrom('a/b', 'a~b', '~1', 'constructor', 'toString', '-', '0'));
  fc.assert(
    fc.property(
      fc.option(fc.dictionary(key, fc.string(), { maxKeys: 4 }), { nil: undefined }),
      fc.dictionary(key, fc.option(fc.string(), { nil: undefined }), { maxKeys: 4 }),
      (current, changes) => {
        const document = { other: 1, ...(current === undefined ? {} : { m: { ...current } }) };
        const operations = patchStringMap('/m', current, changes);
        // The library's own type of an operation is narrower than RFC 6902.
        const { newDocument } = jsonPatch.applyPatch(document, operations as Operation[], true);
        const wanted = Object.entries({ ...current, ...changes }).filter(([, value]) => value !== undefined);
        const { m, ...rest } = newDocument;
        expect(rest).toEqual({ other: 1 });
        expect(Object.entries(m ?? {}).sort()).toEqual(wanted.sort());
        expect(patchStringMap('/m', m, changes)).toEqual([]);
      },
    ),
  );
});
