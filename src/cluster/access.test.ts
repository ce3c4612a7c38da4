import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { inClusterAccess, inClusterNamespace } from './access.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'access-'));
  await writeFile(join(dir, 'token'), 'first\n');
  await writeFile(join(dir, 'ca.crt'), 'PEM');
  await writeFile(join(dir, 'namespace'), 'vsmmu-system');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const env = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

describe("a pod's access", () => {
  test.each([
    ['10.96.0.1', 'https://10.96.0.1:443'],
    ['fd00::1', 'https://[fd00::1]:443'],
  ])('the address of %s', async (host, url) => {
    const access = await inClusterAccess({ env: { ...env, KUBERNETES_SERVICE_HOST: host }, dir });
    expect(access.url).toBe(url);
    expect(await inClusterNamespace(dir)).toBe('vsmmu-system');
  });

  test('the token is read again after a minute, and at once when it was refused', async () => {
    let clock = 0;
    const access = await inClusterAccess({ env, dir, now: () => clock });
    await writeFile(join(dir, 'token'), 'second');
    expect(await access.credentials(false)).toEqual({ token: 'first', ca: 'PEM' });
    expect((await access.credentials(true)).token).toBe('second');
    await writeFile(join(dir, 'token'), 'third');
    clock = 59_999;
    expect((await access.credentials(false)).token).toBe('second');
    clock = 60_000;
    expect((await access.credentials(false)).token).toBe('third');
  });

  test('outside a pod it says so', async () => {
    await expect(inClusterAccess({ env: {}, dir })).rejects.toMatchObject({ code: 'KUBE_CONFIG' });
  });

  test('a file that is missing is named', async () => {
    await rm(join(dir, 'token'));
    await expect(inClusterAccess({ env, dir })).rejects.toMatchObject({
      code: 'KUBE_CONFIG',
      place: join(dir, 'token'),
    });
  });
});
