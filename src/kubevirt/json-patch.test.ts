import { expect, test } from '@jest/globals';

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
