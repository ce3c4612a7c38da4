import { describe, expect, test } from '@jest/globals';
import { valueOf } from '../smmu/answer.js';
import { cmdqvOf, explainErrno, type HwInfoReply } from './hw-info.js';

const SOURCE = 'IOMMU_GET_HW_INFO of 0000:01:00.0';

function answer(dataType: number, ...data: number[]): HwInfoReply {
  const common = { maxPasidLog2: 0, capabilities: 0n, source: SOURCE };
  return { kind: 'answer', dataType, data: Uint8Array.from(data), dataLen: data.length, ...common };
}

describe('a CMDQV, by what QEMU 11.1 checks of it', () => {
  const cmdqv = (...parameters: [version: number, vcmdqs: number, vsids: number]) =>
    answer(3, 0, 0, 0, 0, ...parameters, 0);
  test.each([
    ["Grace's", cmdqv(1, 4, 4), true, 'version 1, log2vcmdqs 4, log2vsids 4'],
    ['the least', cmdqv(1, 1, 4), true, 'log2vcmdqs 1'],
    ['another version', cmdqv(2, 4, 4), false, 'QEMU knows only version 1'],
    ['one queue', cmdqv(1, 0, 4), false, 'QEMU needs log2vcmdqs >= 1'],
    ['few StreamIDs', cmdqv(1, 4, 3), false, 'QEMU needs log2vsids >= 4'],
    ['the SMMU itself', answer(2, ...new Array<number>(40).fill(0)), false, 'data type 2'],
    ['a driver that tells nothing', answer(0), undefined, 'with data type 0'],
    ['cut short', answer(3, 0, 0, 0, 0, 1), undefined, '5 bytes of 8'],
  ])('%s', (_name, reply, value, words) => {
    const told = cmdqvOf(reply, true);
    expect(valueOf(told)).toBe(value);
    expect(JSON.stringify(told)).toContain(words);
  });

  test.each([
    ['knows INPUT_TYPE: there is none', true, false],
    ['does not: it cannot say', false, undefined],
    ['may or may not: it cannot say', undefined, undefined],
  ])('EOPNOTSUPP of a kernel that %s', (_name, knowsInputType, value) => {
    const refused: HwInfoReply = { kind: 'failed', step: 'hw-info', errno: 'EOPNOTSUPP', source: SOURCE };
    expect(valueOf(cmdqvOf(refused, knowsInputType))).toBe(value);
  });
});

test.each([
  ['bind', 'EINVAL', 'PROBE_BUSY', ['cdev', 'cache-coherent']],
  ['bind', 'EPERM', 'PROBE_GROUP_NOT_VIABLE', ['host driver', 'in use', 'isolate interrupts']],
  ['bind', 'EBUSY', 'PROBE_GROUP_OPEN', ['/dev/vfio/N']],
  ['open-cdev', 'EPERM', 'PROBE_NOT_PERMITTED', ['EPERM']],
  ['bind', 'ETIMEDOUT', 'PROBE_TIMEOUT', ['time limit']],
] as const)('%s %s is %s and names every cause the kernel has for it', (step, errno, code, words) => {
  const explained = explainErrno(step, errno);
  expect(explained.code).toBe(code);
  for (const word of words) expect(explained.because).toContain(word);
  expect(explained.remedy).toMatch(/\.$/);
});

test.each([
  ['open-iommu', 'ENODEV', 'CONFIG_IOMMUFD'],
  ['open-cdev', 'ENOENT', 'CONFIG_VFIO_DEVICE_CDEV'],
  ['open-cdev', 'ENODEV', 'unplugged'],
  ['bind', 'ENODEV', 'unplugged'],
  ['hw-info', 'ENOENT', 'unplugged'],
] as const)('%s %s is PROBE_NO_NODE with the remedy that helps', (step, errno, word) => {
  expect(explainErrno(step, errno)).toMatchObject({
    code: 'PROBE_NO_NODE',
    remedy: expect.stringContaining(word),
  });
});
