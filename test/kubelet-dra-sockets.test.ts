import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { keepDraSockets } from '../src/kubelet/dra/dra-sockets.js';
import { kubeletDirectories } from '../src/kubelet/registration.js';
import { silentLog } from '../src/log/log.js';
import { until } from './kubelet-peer.js';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

test('without the registry folder the sockets are tried again in their own time, not in a spin, and served when it comes', async () => {
  const directories = kubeletDirectories(dir);
  const stop = new AbortController();
  let attempts = 0;
  const keeping = keepDraSockets(
    { directories, services: [], log: silentLog, onRegistered: () => attempts++ },
    stop.signal,
  );
  await until(() => attempts >= 3);
  const before = attempts;
  await new Promise((resolve) => setTimeout(resolve, 2000));
  // Each pause is at least twice the one before it, until it is a second; a spin makes hundreds.
  expect(attempts - before).toBeLessThan(12);
  mkdirSync(directories.pluginsRegistry, { recursive: true });
  await until(() => existsSync(join(directories.pluginsRegistry, 'vsmmu.io-reg.sock')));
  stop.abort();
  await keeping;
});
