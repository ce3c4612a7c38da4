import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import * as z from 'zod';

import { COMPATIBILITY, type CompatibilityRow, sinceOf } from '../src/doctor/compatibility.js';
import { chooseTarget, parseVersion, qemuOfVersion, type Version } from '../src/domain/launcher.js';
import { kernelReportsAts } from '../src/host/kernel.js';
import { known } from '../src/smmu/answer.js';

/** The version that a row names, and the last one before it. */
function around(row: CompatibilityRow): { readonly before: Version; readonly since: Version } {
  const [major, minor] = sinceOf(row);
  return {
    before: minor > 0 ? [major, minor - 1, 99] : [major - 1, 99, 0],
    since: [major, minor, 0],
  };
}

/** Where the code decides by a version, it turns at the version of the table. */
const TURNS: readonly (readonly [row: CompatibilityRow, what: string, has: (version: Version) => boolean])[] =
  [
    [COMPATIBILITY.qemuAccel, 'accel', (version) => qemuOfVersion(version).accel],
    [COMPATIBILITY.qemuCmdqvAndAts, 'cmdqv', (version) => qemuOfVersion(version).cmdqv],
    [COMPATIBILITY.qemuCmdqvAndAts, 'ats of vfio-pci', (version) => qemuOfVersion(version).vfioAts],
    [
      COMPATIBILITY.libvirtPciBus,
      'any target',
      (libvirt) => {
        try {
          return chooseTarget({ libvirt, qemu: undefined, plugins: false }).target.length > 0;
        } catch {
          return false;
        }
      },
    ],
    [
      COMPATIBILITY.libvirtAttributes,
      'attributes',
      (libvirt) => chooseTarget({ libvirt, qemu: undefined, plugins: false }).target === 'native',
    ],
    [
      COMPATIBILITY.deviceAts,
      'the ATS of devices',
      (version) => {
        const release = known(version.join('.'), { reading: '', source: '' });
        const answer = kernelReportsAts(release, []);
        return answer.known && answer.value;
      },
    ],
  ];

describe('the compatibility table', () => {
  test.each(TURNS.map(([row, what, has]) => [`${row.part} ${row.since}`, what, around(row), has] as const))(
    '%s is where %s begins',
    (_name, _what, { before, since }, has) => {
      expect({ before: has(before), since: has(since) }).toEqual({ before: false, since: true });
    },
  );

  test('names versions that read as versions', () => {
    for (const row of Object.values<CompatibilityRow>(COMPATIBILITY))
      expect(parseVersion(row.since)?.slice(0, 2)).toEqual([...sinceOf(row)]);
  });

  test('agrees with what the chart says of Kubernetes', () => {
    const chart = z
      .looseObject({ kubeVersion: z.string() })
      .parse(parse(readFileSync('charts/vsmmu/Chart.yaml', 'utf8')));
    expect(chart.kubeVersion).toBe(`>=${COMPATIBILITY.matchConditions.since}.0-0`);
  });

  test('is what README.md tells of versions', () => {
    const readme = readFileSync('README.md', 'utf8').replaceAll(/\s+/g, ' ');
    for (const told of [
      `kernel >= ${COMPATIBILITY.smmuRegisters.since}`,
      `>= ${COMPATIBILITY.deviceAts.since} to know a device's ATS`,
      `QEMU >= ${COMPATIBILITY.qemuAccel.since}`,
      `libvirt >= ${COMPATIBILITY.libvirtAttributes.since}`,
      `KubeVirt >= ${COMPATIBILITY.kubevirtHooks.since}`,
      `Kubernetes >= ${COMPATIBILITY.matchConditions.since}`,
    ])
      expect(readme).toContain(told);
  });
});
