import { expect, test } from '@jest/globals';

import { hookSocketName } from './socket-name.js';

test('KubeVirt names the container, and that names the socket', () => {
  expect(hookSocketName({ CONTAINER_NAME: 'hook-sidecar-3' })).toBe('hook-sidecar-3.sock');
});

test.each([undefined, '', '../../etc/x', 'a/b', '.hidden', 'x'.repeat(41)])(
  'without a usable name (%p) it is random, and different each time',
  (name) => {
    const one = hookSocketName({ CONTAINER_NAME: name });
    expect(one).toMatch(/^vsmmu-[0-9a-f]{12}\.sock$/);
    expect(hookSocketName({ CONTAINER_NAME: name })).not.toBe(one);
  },
);
