import { describe, expect, test } from '@jest/globals';

import { openRecording } from '../src/host/recording.js';
import { probeHost } from '../src/host/probe.js';
import { valueOf, yesNo } from '../src/smmu/answer.js';

const RECORDING = 'test/fixtures/hosts/linux-7.2-iommufd';
const SMMUS = ['smmu3.0x000000000c000000', 'smmu3.0x000000000c020000', 'smmu3.0x000000000c040000'] as const;

/** A genuine recording of a kernel that answers IOMMU_GET_HW_INFO; its README tells how it was made. */
describe('a guest with three SMMUs and IOMMUFD, recorded', () => {
  const probe = async () => probeHost(await openRecording(RECORDING));

  test('every device that VFIO has, behind its SMMU and on its NUMA node', async () => {
    const { devices } = await probe();
    const seen = devices
      .filter(({ vfio }) => vfio)
      .map(({ bdf, smmu, numaNode, atsCapability, kernelAts, effectiveAts, maxPasidLog2 }) => [
        bdf,
        valueOf(smmu),
        valueOf(numaNode),
        yesNo(atsCapability),
        valueOf(kernelAts),
        yesNo(effectiveAts),
        valueOf(maxPasidLog2),
      ]);
    expect(seen).toEqual([
      ['0000:01:00.0', SMMUS[0], null, 'no', 'not-supported', 'no', 0],
      ['0000:01:00.1', SMMUS[0], null, 'no', 'not-supported', 'no', 0],
      ['0000:13:00.0', SMMUS[1], 0, 'no', 'not-supported', 'no', 0],
      ['0000:14:00.0', SMMUS[1], 0, 'yes', 'not-supported', 'no', 0],
      ['0000:41:00.1', SMMUS[2], 1, 'no', 'not-supported', 'no', 0],
      ['0000:42:00.0', SMMUS[2], 1, 'yes', 'not-supported', 'no', 0],
    ]);
  });

  test('each SMMU with the registers that the kernel gave, the third with a second stage', async () => {
    const { smmus } = await probe();
    const words = smmus.map(({ name, registers }) => [name, valueOf(registers)?.words]);
    expect(words).toEqual([
      [SMMUS[0], [0x0d44101a, 0x02730010, 0, 0x1404, 0, 0x74]],
      [SMMUS[1], [0x0d44101a, 0x02730010, 0, 0x1404, 0, 0x74]],
      [SMMUS[2], [0x0d44101b, 0x02730010, 0, 0x1414, 0, 0x74]],
    ]);
  });

  test('no accelerated vSMMU, since the kernel refuses a nesting parent', async () => {
    const { smmus, kernel } = await probe();
    expect(smmus.map(({ accel, cmdqv }) => [yesNo(accel), yesNo(cmdqv)])).toEqual([
      ['no', 'no'],
      ['no', 'no'],
      ['no', 'no'],
    ]);
    expect(valueOf(kernel.reportsAts)).toBe(true);
  });
});
