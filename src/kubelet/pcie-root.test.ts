import { expect, test } from '@jest/globals';
import { parseBdf } from '../bdf.js';
import { failed, succeeded } from '../host/host-source.js';
import { pcieRootOf } from './pcie-root.js';

test.each([
  ['ACPI', '../../../devices/pci0000:40/0000:40:00.0/0000:41:00.0', 'pci0000:40'],
  [
    'a device tree, where a platform device stands before it',
    '../../../devices/platform/4010000000.pcie/pci0000:00/0000:00:01.0',
    'pci0000:00',
  ],
  [
    'a domain of five digits',
    '../../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0',
    'pci0000:00',
  ],
  ['no PCI path', '../../../devices/virtual/thing', undefined],
])('root complex from a path with %s', (_, target, root) => {
  expect(pcieRootOf({ readLink: () => succeeded(target) }, parseBdf('0000:01:00.0')!)).toBe(root);
});

test('no link, no root', () => {
  expect(pcieRootOf({ readLink: () => failed('ENOENT', 'gone') }, parseBdf('0000:01:00.0')!)).toBeUndefined();
});
