import { describe, expect, test } from '@jest/globals';

import { HOSTDEV, oneGpu } from '../../test/fixtures/domain/documents.js';
import { graceHost } from '../../test/fixtures/domain/host.js';
import { checkDomain } from './check.js';
import { DomainRefused } from './refused.js';
import { rewriteDomain } from './rewrite.js';

const OTHER = HOSTDEV.replace('0x0009', '0x0019').replace('ua-gpu0', 'ua-gpu1').replace('0x02', '0x03');

const TWICE: readonly (readonly [name: string, second: string, message: string])[] = [
  ['an alias', OTHER.replace('ua-gpu1', 'ua-gpu0'), '<hostdev>: the alias ua-gpu0 is another'],
  ['a host device', OTHER.replace('0x0019', '0x0009'), '<hostdev>: the host device 0009:01:00.0 is given'],
  ['a guest address', OTHER.replace('0x03', '0x02'), 'has the guest address bus 2, slot 0, function 0 too'],
  [
    'an alias of a device that is none of ours',
    "<rng model='virtio'><alias name='ua-gpu0'/></rng>",
    '<rng>: the alias ua-gpu0 is another',
  ],
];

describe('refused, as libvirt would', () => {
  test.each(TWICE)('%s twice', (_, second, message) => {
    const text = oneGpu({ hostdev: HOSTDEV + second });
    const found = expect.objectContaining({
      code: 'DEVICE_TWICE',
      message: expect.stringContaining(message) as unknown,
    }) as unknown;
    expect(checkDomain(text, graceHost())).toContainEqual(found);
    const rewrite = () => rewriteDomain(text, graceHost());
    expect(rewrite).toThrow(DomainRefused);
    expect(rewrite).toThrow(found);
  });
});

test.each([
  ['aliases that libvirt discards', HOSTDEV.replace('ua-gpu0', 'x') + OTHER.replace('ua-gpu1', 'x')],
  [
    'addresses that libvirt chooses',
    [HOSTDEV, OTHER].join('').replaceAll(/ domain='0x0000' bus='0x0.'/g, " domain='0x0000' bus='0'"),
  ],
])('not found: %s', (_, hostdev) => {
  const found = checkDomain(oneGpu({ hostdev }), graceHost());
  expect(found.map(({ code }) => code)).not.toContain('DEVICE_TWICE');
});
