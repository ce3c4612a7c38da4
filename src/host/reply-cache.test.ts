import { afterAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bdf } from '../bdf.js';
import type { DeviceReplies, HwInfoReply } from './hw-info.js';
import { ReplyCache } from './reply-cache.js';

const dir = mkdtempSync(join(tmpdir(), 'vsmmu-cache-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const KEY = { bootId: 'b', release: '7.1.0' };
const TARGET = {
  bdf: '0000:01:00.0' as Bdf,
  ids: '10de:2941',
  smmu: 'smmu3.0x0000000011000000',
  vfioName: 'vfio0',
  group: 1,
  groupVfioNames: ['vfio0'],
};
const source = 'IOMMU_GET_HW_INFO of 0000:01:00.0';
const ANSWER: HwInfoReply = {
  kind: 'answer',
  dataType: 2,
  data: new Uint8Array(40),
  dataLen: 40,
  maxPasidLog2: 0,
  capabilities: 8n,
  source,
};
const failed = (errno: string) => ({ kind: 'failed', step: 'hw-info', errno, source }) as const;

test.each<[string, Partial<DeviceReplies>, boolean]>([
  ['answers', {}, true],
  ['a refusal of input type 3', { cmdqv: failed('EOPNOTSUPP') }, true],
  ['no answer about the CMDQV in time', { cmdqv: failed('ETIMEDOUT') }, false],
  ['no memory for the CMDQV', { cmdqv: failed('ENOMEM') }, false],
  ['no memory for nesting', { nesting: failed('ENOMEM') }, false],
  ['a refusal to nest', { nesting: failed('EOPNOTSUPP') }, true],
])('%s: kept until the next boot, or asked again', (name, replies, kept) => {
  const path = join(dir, name);
  const cache = ReplyCache.open(path, KEY);
  const told: DeviceReplies = {
    hwInfo: ANSWER,
    cmdqv: ANSWER,
    nesting: { kind: 'allowed', source },
    evidence: [],
    findings: [],
    ...replies,
  };
  cache.remember(TARGET, told, new Date(0));
  cache.save();
  const again = ReplyCache.open(path, KEY);
  expect(again.device(TARGET) !== undefined).toBe(kept);
  expect(again.smmu(TARGET.smmu) !== undefined).toBe(kept);
});
