import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeletPeer } from '../../test/kubelet-peer.js';
import { formatBdf } from '../bdf.js';
import { silentLog } from '../log/log.js';
import { ClaimsOfPods } from './claims-of-pods.js';
import { GroupClaims } from './group-claims.js';

let dir: string;
let kubelet: KubeletPeer;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
  kubelet = new KubeletPeer(dir);
});
afterEach(() => kubelet.close());
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('a kubelet that does not tell is a complaint once, and only where something is handed out', async () => {
  const warnings: string[] = [];
  const claims = new GroupClaims();
  const pods = new ClaimsOfPods({
    claims,
    podResourcesSocket: join(dir, 'pod-resources/kubelet.sock'),
    log: { ...silentLog, warn: (message) => warnings.push(message) },
  });
  await pods.learn(undefined);
  expect(warnings).toEqual([]);

  claims.claim([{ bdf: formatBdf(0, 1, 0, 0)!, iommuGroup: 7 }], 'resource a.io/x');
  await pods.learn(undefined);
  await pods.learn(undefined);
  expect(warnings).toEqual([
    'The kubelet does not tell which devices pods have; what is handed out stays so.',
  ]);

  await kubelet.servePodResources();
  await pods.learn(undefined);
  await kubelet.close();
  await pods.learn(undefined);
  expect(warnings).toHaveLength(2);
});
