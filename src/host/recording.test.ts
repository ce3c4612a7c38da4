import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { VsmmuError } from '../errors.js';
import { valueOf, yesNo } from '../smmu/answer.js';
import { probeHost } from './probe.js';
import { openRecording } from './recording.js';
import type { HostReport } from './report.js';

const DIRS: string[] = [];
let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-recording-'));
  DIRS.push(dir);
});
afterAll(() => {
  for (const name of DIRS) rmSync(name, { recursive: true, force: true });
});

const DEVICE = '/sys/devices/pci0000:00/0000:00:03.0';
const SYSFS = [
  '# Linux version 7.1.2-test (x@y) #1 SMP',
  '# cmdline quiet',
  'L /sys/bus/pci/devices/0000:00:03.0 -> ../../../devices/pci0000:00/0000:00:03.0',
  `D ${DEVICE}`,
  `F ${DEVICE}/vendor mode=444 = "0x10de\\n"`,
  `F ${DEVICE}/device mode=444 = "0x2941\\n"`,
  `F ${DEVICE}/class mode=444 = "0x030200\\n"`,
  `F ${DEVICE}/numa_node mode=644 = "1\\n"`,
  `L ${DEVICE}/driver -> ../../../bus/pci/drivers/nvgrace-gpu-vfio-pci`,
  `L ${DEVICE}/iommu -> ../../platform/arm-smmu-v3.4.auto/iommu/smmu3.0x0000000011000000`,
  `L ${DEVICE}/iommu_group -> ../../../kernel/iommu_groups/7`,
  `D ${DEVICE}/vfio-dev/vfio9`,
  'DEV /dev/vfio/devices/vfio9 123',
  'DEV /dev/iommu',
];
const WORDS = [0x0d4c169b, 0x02730510, 0, 0x1404, 0, 0x75];

function hwInfoItem(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  const struct = Buffer.alloc(40);
  struct.writeUInt32LE(40, 0);
  struct.writeUInt32LE(40, 12);
  struct.writeUInt32LE(2, 24);
  struct[28] = 18;
  const data = Buffer.alloc(40);
  WORDS.forEach((word, n) => data.writeUInt32LE(word, 8 + 4 * n));
  return {
    bdf: '0000:00:03.0',
    size: 40,
    flags: 0,
    in_type: 0,
    in_len: 40,
    rc: 0,
    errno: 0,
    struct_hex: struct.toString('hex'),
    data_hex: data.toString('hex'),
    ...overrides,
  };
}

function put(files: { sysfs?: readonly string[]; pciConfig?: string; hwInfo?: unknown }): void {
  if (files.sysfs !== undefined)
    writeFileSync(join(dir, 'sysfs.txt'), files.sysfs.map((l) => `${l}\n`).join(''));
  if (files.pciConfig !== undefined) writeFileSync(join(dir, 'pci-config.txt'), files.pciConfig);
  if (files.hwInfo !== undefined)
    writeFileSync(
      join(dir, 'iommu-hw-info.json'),
      typeof files.hwInfo === 'string' ? files.hwInfo : JSON.stringify(files.hwInfo),
    );
}

/** 4,096 bytes as lspci prints them, with these extended capabilities; a PASID capability has 20 bits. */
function configRows(ids: readonly number[]): string {
  const bytes = Buffer.alloc(4096);
  ids.forEach((id, n) => {
    const next = n + 1 < ids.length ? 0x110 + 0x10 * n : 0;
    bytes.writeUInt32LE(((next << 20) | (1 << 16) | id) >>> 0, 0x100 + 0x10 * n);
    if (id === 0x1b) bytes.writeUInt16LE(20 << 8, 0x104 + 0x10 * n);
  });
  let text = '';
  for (let at = 0; at < bytes.length; at += 16)
    text += `${at.toString(16).padStart(2, '0')}: ${bytes.toString('hex', at, at + 16).replace(/..(?!$)/g, '$& ')}\n`;
  return text;
}

const probe = async (): Promise<HostReport> => probeHost(await openRecording(dir));

async function failure(): Promise<VsmmuError> {
  const error: unknown = await openRecording(dir).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof VsmmuError)) throw new Error('expected a VsmmuError', { cause: error });
  return error;
}

describe('a recording', () => {
  test('of a variant driver is a VFIO device like any other', async () => {
    put({ sysfs: SYSFS, hwInfo: [hwInfoItem()] });
    const { devices, smmus, kernel, findings } = await probe();
    expect(findings).toEqual([]);
    expect(devices).toHaveLength(1);
    const [gpu] = devices;
    expect(gpu?.passthrough).toEqual({ ready: true, driver: 'nvgrace-gpu-vfio-pci' });
    expect([gpu?.vendor, gpu?.device, gpu?.classCode]).toEqual([0x10de, 0x2941, 0x030200]);
    expect(gpu?.numaNode).toMatchObject({ known: true, value: 1 });
    expect(gpu?.cdev).toMatchObject({ value: '/dev/vfio/devices/vfio9' });
    expect(gpu?.effectiveAts).toMatchObject({ known: true, value: true });
    expect(gpu?.effectivePasidBits).toMatchObject({ known: true, value: 18 });
    expect(smmus[0]?.name).toBe('smmu3.0x0000000011000000');
    expect(kernel.reportsAts).toMatchObject({ value: true, evidence: [{ source: '/proc/version' }] });
  });

  test('of a kernel before 7.1 makes a clear bit 3 unknown, a set one a no', async () => {
    const old = ['# Linux version 6.14.0 (x@y)', ...SYSFS.slice(1)];
    put({ sysfs: old, hwInfo: [hwInfoItem()] });
    const [device] = (await probe()).devices;
    expect(device?.effectiveAts).toMatchObject({ known: false });
    expect(device?.kernelAts).toMatchObject({ because: expect.stringContaining('kernel 6.14.0 cannot say') });
  });

  test('a folder without one is told', async () => {
    expect(await failure()).toMatchObject({ code: 'RECORDING_UNREADABLE', place: dir, exitStatus: 3 });
  });

  test.each(['sysfs.txt', 'pci-config.txt', 'iommu-hw-info.json'])(
    'a FIFO or a folder in the place of %s is told, and not waited for',
    async (name) => {
      for (const make of [
        () => execFileSync('mkfifo', [join(dir, name)]),
        () => mkdirSync(join(dir, name)),
      ]) {
        make();
        expect(await failure()).toMatchObject({ code: 'RECORDING_UNREADABLE', place: join(dir, name) });
        rmSync(join(dir, name), { recursive: true });
      }
    },
  );

  test('JSON that is cut short is told with its line', async () => {
    put({ hwInfo: '[\n {"bdf": "0000:00:03.0",\n  "size": 4' });
    const error = await failure();
    expect(error.code).toBe('RECORDING_MALFORMED');
    expect(error.place).toMatch(/iommu-hw-info\.json:3:\d+$/);
    expect(error.remedy).toContain('Record the host again');
  });

  test('JSON that is no array is told', async () => {
    put({ hwInfo: { bdf: 'x' } });
    expect((await failure()).code).toBe('RECORDING_MALFORMED');
  });

  test.each([
    ['a data_hex cut short', { data_hex: '0000000000' }, 'data_hex holds 5 bytes of hex, expected 40'],
    ['a struct_hex cut short', { struct_hex: '2800' }, 'struct_hex holds 2 bytes of hex, expected 40'],
    ['no struct_hex', { struct_hex: undefined }, 'struct_hex holds 0 bytes'],
  ])('%s gives no registers', async (_name, overrides, message) => {
    put({ sysfs: SYSFS, hwInfo: [hwInfoItem(overrides)] });
    const { smmus, findings } = await probe();
    expect(smmus[0]?.registers.known).toBe(false);
    expect(findings.map(({ code }) => code)).toContain('RECORDING_DAMAGED');
    expect(findings[0]?.message).toContain(message);
  });

  test('an answer of fewer bytes than the registers is a finding of its own', async () => {
    const struct = Buffer.from(String(hwInfoItem()['struct_hex']), 'hex');
    struct.writeUInt32LE(16, 12);
    put({ sysfs: SYSFS, hwInfo: [hwInfoItem({ struct_hex: struct.toString('hex') })] });
    const { smmus, findings } = await probe();
    expect(smmus[0]?.registers.known).toBe(false);
    expect(findings.map(({ code }) => code)).toContain('PROBE_HW_INFO_SHORT');
  });

  test.each([
    [22, 'bind', 'PROBE_BUSY'],
    [1, 'bind', 'PROBE_GROUP_NOT_VIABLE'],
    [16, 'bind', 'PROBE_GROUP_OPEN'],
    [2, 'open-cdev', 'PROBE_NO_NODE'],
    [95, undefined, 'PROBE_NOT_SUPPORTED'],
  ])('errno %d at %s is replayed as the finding %s', async (errno, step, code) => {
    put({ sysfs: SYSFS, hwInfo: [hwInfoItem({ rc: -1, errno, step })] });
    const { findings } = await probe();
    expect(findings.map((finding) => [finding.subject, finding.code])).toEqual([['0000:00:03.0', code]]);
  });

  test('two devices of one SMMU with different registers: unknown, and a finding', async () => {
    const other = Buffer.from(String(hwInfoItem()['data_hex']), 'hex');
    other.writeUInt32LE(0x74, 8 + 4 * 5);
    const second = SYSFS.filter((line) => !line.startsWith('#')).map((line) =>
      line.replaceAll('0000:00:03.0', '0000:00:04.0').replaceAll('vfio9', 'vfio10'),
    );
    put({
      sysfs: [...SYSFS, ...second],
      hwInfo: [hwInfoItem(), hwInfoItem({ bdf: '0000:00:04.0', data_hex: other.toString('hex') })],
    });
    const { smmus, findings } = await probe();
    expect(smmus[0]?.registers.known).toBe(false);
    expect(findings.map(({ code }) => code)).toEqual(['REGISTERS_DISAGREE']);
  });

  const nesting = (rc: number, errno: number, step = 'viommu-alloc') => ({
    bdf: '0000:00:03.0',
    query: 'nesting',
    step,
    rc,
    errno,
  });
  test.each([
    ['allowed', nesting(0, 0), 'yes', 'yes'],
    ['refused with the vIOMMU', nesting(-1, 95), 'no', 'no'],
    ['refused with the parent', nesting(-1, 95, 'hwpt-alloc'), 'no', 'no'],
    ['failed for want of memory', nesting(-1, 12, 'hwpt-alloc'), 'unknown', 'unknown'],
    ['busy', nesting(-1, 22, 'bind'), 'unknown', 'unknown'],
  ])('nesting %s decides accel', async (_name, item, nests, accel) => {
    put({ sysfs: SYSFS, hwInfo: [hwInfoItem(), item] });
    const [smmu] = (await probe()).smmus;
    expect([yesNo(smmu!.nesting), yesNo(smmu!.accel)]).toEqual([nests, accel]);
  });

  test.each([
    ['pci=noats', 'no'],
    ['pci=nocrs,noats quiet', 'no'],
    ['pci=nocrs noats', 'yes'],
    ['pci="nocrs,noats"', 'no'],
    ['"pci=noats" quiet', 'no'],
    ['note="do not boot with pci=noats again"', 'yes'],
    ['quiet -- pci=noats', 'yes'],
  ])('a command line of "%s" makes effective ATS %s', async (line, ats) => {
    put({ sysfs: [SYSFS[0] ?? '', `# cmdline ${line}`, ...SYSFS.slice(2)], hwInfo: [hwInfoItem()] });
    expect(yesNo((await probe()).devices[0]!.effectiveAts)).toBe(ats);
  });

  test('device tree: a host bridge without ats-supported has no ATS', async () => {
    const node = 'L /sys/devices/platform/40.pcie/of_node -> ../../../firmware/devicetree/base/pcie@40';
    const lines = SYSFS.map((line) =>
      line.replaceAll('devices/pci0000:00/', 'devices/platform/40.pcie/pci0000:00/'),
    );
    const base = [...lines, node, 'D /sys/firmware/devicetree/base/pcie@40'];
    put({ sysfs: base, hwInfo: [hwInfoItem()] });
    expect((await probe()).devices[0]).toMatchObject({
      pcieRoot: { value: 'pci0000:00' },
      firmwareAts: { known: true, value: false },
      effectiveAts: { known: true, value: false },
    });
    put({ sysfs: [...base, 'F /sys/firmware/devicetree/base/pcie@40/ats-supported mode=444 = ""'] });
    expect((await probe()).devices[0]?.firmwareAts).toMatchObject({ value: true });
  });

  test("the kernel's configuration is read where it is to be seen", async () => {
    const config = 'CONFIG_IOMMUFD=y\\n# CONFIG_VFIO_DEVICE_CDEV is not set\\nCONFIG_VFIO=m\\n';
    put({ sysfs: [...SYSFS, `F /boot/config-7.1.2-test mode=644 = "${config}"`] });
    const { options } = (await probe()).kernel;
    expect(
      [options.IOMMUFD, options.VFIO_DEVICE_CDEV, options.VFIO].map((option) => valueOf(option)),
    ).toEqual(['y', 'n', 'm']);
    expect(options.IOMMUFD.evidence).toEqual([
      { reading: 'CONFIG_IOMMUFD=y', source: '/boot/config-7.1.2-test' },
    ]);
  });

  test('an option that a partial configuration does not name is unknown; a whole one says no by silence', async () => {
    const whole =
      '#\\n# Automatically generated file; DO NOT EDIT.\\n# Linux/arm64 7.1.2 Kernel Configuration\\n#\\n';
    const optionsOf = async (config: string) => {
      put({ sysfs: [...SYSFS, `F /boot/config-7.1.2-test mode=644 = "${config}CONFIG_VFIO=m\\n"`] });
      return (await probe()).kernel.options;
    };
    const partial = await optionsOf('');
    expect([valueOf(partial.VFIO), valueOf(partial.IOMMUFD)]).toEqual(['m', undefined]);
    expect(partial.IOMMUFD).toMatchObject({
      because: expect.stringContaining('does not name CONFIG_IOMMUFD'),
    });
    expect((await optionsOf(whole)).IOMMUFD).toMatchObject({
      value: 'n',
      evidence: [{ reading: 'CONFIG_IOMMUFD is not set', source: '/boot/config-7.1.2-test' }],
    });
  });

  test('a group mate on a host driver makes the group not viable', async () => {
    const mate = '/sys/devices/pci0000:00/0000:00:03.1';
    put({
      sysfs: [
        ...SYSFS,
        'L /sys/bus/pci/devices/0000:00:03.1 -> ../../../devices/pci0000:00/0000:00:03.1',
        `L ${mate}/driver -> ../../../bus/pci/drivers/snd_hda_intel`,
        `F ${mate}/class mode=444 = "0x040300\\n"`,
        `L ${mate}/iommu_group -> ../../../kernel/iommu_groups/7`,
        `L /sys/kernel/iommu_groups/7/devices/0000:00:03.0 -> x`,
        `L /sys/kernel/iommu_groups/7/devices/0000:00:03.1 -> x`,
      ],
      hwInfo: [hwInfoItem()],
    });
    const [gpu] = (await probe()).devices;
    expect(gpu?.passthrough).toEqual({
      ready: false,
      reason: 'group not viable: 0000:00:03.1 of its IOMMU group is on driver snd_hda_intel',
      remedy: 'Bind every member of the group to a VFIO driver, or leave it without one.',
    });
    expect(gpu?.groupMembers).toEqual([{ bdf: '0000:00:03.1', driver: 'snd_hda_intel', hinders: true }]);
  });

  test.each([
    ['a PCI bridge on its driver', '0x060400', 'bus/pci/drivers/pcieport', true],
    ['an NVSwitch on its driver', '0x068000', 'bus/pci/drivers/nvidia', false],
    ['an NVSwitch on vfio-pci', '0x068000', 'bus/pci/drivers/vfio-pci', true],
    ['a function whose driver link leads elsewhere', '0x030200', 'bus/pci/nowhere', false],
  ])('%s as a group mate', async (_name, classCode, driver, ready) => {
    const mate = '/sys/devices/pci0000:00/0000:00:03.1';
    put({
      sysfs: [
        ...SYSFS,
        'L /sys/bus/pci/devices/0000:00:03.1 -> ../../../devices/pci0000:00/0000:00:03.1',
        `L ${mate}/driver -> ../../../${driver}`,
        `F ${mate}/class mode=444 = "${classCode}\\n"`,
        `L ${mate}/iommu_group -> ../../../kernel/iommu_groups/7`,
      ],
      hwInfo: [hwInfoItem()],
    });
    expect((await probe()).devices[0]?.passthrough.ready).toBe(ready);
  });

  test.each([
    ['vfio-pci: a VM may have that mate, and take this device too', 'vfio-pci', true],
    ['no driver: somebody else must own the group', undefined, false],
  ])('EPERM at bind while a group mate is on %s', async (_name, driver, ready) => {
    const mate = '/sys/devices/pci0000:00/0000:00:03.1';
    put({
      sysfs: [
        ...SYSFS,
        'L /sys/bus/pci/devices/0000:00:03.1 -> ../../../devices/pci0000:00/0000:00:03.1',
        ...(driver === undefined
          ? [`D ${mate}`]
          : [`L ${mate}/driver -> ../../../bus/pci/drivers/${driver}`]),
        `L ${mate}/iommu_group -> ../../../kernel/iommu_groups/7`,
      ],
      hwInfo: [{ ...hwInfoItem(), rc: -1, errno: constants.errno.EPERM, step: 'bind' }],
    });
    const [gpu] = (await probe()).devices;
    expect(gpu?.groupMates).toEqual(['0000:00:03.1']);
    expect(gpu?.passthrough.ready).toBe(ready);
  });

  test('64 bytes of config space are one finding for the host', async () => {
    const row = (at: string) => `${at}: ${Array<string>(16).fill('00').join(' ')}\n`;
    put({
      sysfs: SYSFS,
      pciConfig: `00:03.0 x\n${['00', '10', '20', '30'].map(row).join('')}`,
      hwInfo: [hwInfoItem()],
    });
    const { findings } = await probe();
    expect(findings.map(({ code, subject }) => [code, subject])).toEqual([['CONFIG_SPACE_SHORT', 'host']]);
    expect(findings[0]?.message).toContain('1 of 1 functions');
  });

  test.each<[string, (line: string) => readonly string[], RegExp]>([
    [
      'no IOMMU group',
      (line) => (line.includes('iommu_group') ? [] : [line]),
      /^no IOMMU stands in front of it/,
    ],
    [
      "vfio's no-IOMMU mode",
      (line) =>
        line.includes('iommu_group')
          ? [line, 'F /sys/kernel/iommu_groups/7/name mode=444 = "vfio-noiommu\\n"']
          : [line],
      /^vfio has it in no-IOMMU mode/,
    ],
  ])('a device with %s is refused', async (_name, change, reason) => {
    put({ sysfs: SYSFS.flatMap(change), hwInfo: [hwInfoItem()] });
    expect((await probe()).devices[0]?.passthrough).toMatchObject({
      ready: false,
      reason: expect.stringMatching(reason),
    });
  });

  test('a VF names its PF, whose PASID it shares', async () => {
    put({
      sysfs: [...SYSFS, `L ${DEVICE}/physfn -> ../0000:00:02.0`],
      pciConfig: `00:03.0 x\n${configRows([0x0f])}`,
      hwInfo: [hwInfoItem()],
    });
    const [vf] = (await probe()).devices;
    expect(vf?.sriov).toEqual({ role: 'virtual', physicalFunction: '0000:00:02.0' });
    expect(vf?.effectivePasidBits).toMatchObject({ value: 18 });
    expect(vf?.pasidCapability).toMatchObject({
      known: false,
      because: 'a VF shares the capability of its PF 0000:00:02.0, which this host does not show',
    });
  });

  test("a VF's PRI and PASID are those of its PF's config space, not the silence of its own", async () => {
    const pf = '/sys/devices/pci0000:00/0000:00:02.0';
    put({
      sysfs: [
        ...SYSFS,
        `L ${DEVICE}/physfn -> ../0000:00:02.0`,
        'L /sys/bus/pci/devices/0000:00:02.0 -> ../../../devices/pci0000:00/0000:00:02.0',
        `F ${pf}/sriov_totalvfs mode=444 = "4\\n"`,
        `L ${pf}/virtfn0 -> ../0000:00:03.0`,
      ],
      pciConfig: `00:02.0 x\n${configRows([0x13, 0x1b])}\n00:03.0 x\n${configRows([0x0f])}`,
      hwInfo: [hwInfoItem()],
    });
    const [, vf] = (await probe()).devices;
    expect(vf?.priCapability).toMatchObject({
      value: true,
      evidence: [{ source: 'config space of 0000:00:02.0' }],
    });
    expect(vf?.pasidCapability).toMatchObject({ value: { maxWidth: 20 } });
    expect(vf?.atsCapability).toMatchObject({ value: true });
  });

  test.each<[string, string, readonly string[], readonly string[] | undefined]>([
    ['names them', '7.1.2', [`F ${DEVICE}/reset_method mode=644 = "flr bus\\n"`], ['flr', 'bus']],
    ['is not there on a kernel that would show it', '5.15.0', [], []],
    ['is not there on an older kernel', '5.14.0', [], undefined],
    ['was refused', '7.1.2', [`W ${DEVICE}/reset_method mode=000`], undefined],
  ])('reset methods, where the file %s', async (_name, release, more, methods) => {
    put({ sysfs: [`# Linux version ${release} (x@y)`, ...SYSFS.slice(1), ...more] });
    expect(valueOf((await probe()).devices[0]!.resetMethods)).toEqual(methods);
  });

  test.each<[string, readonly string[] | undefined]>([
    ['whose count of VFs was refused', [...SYSFS, `W ${DEVICE}/sriov_totalvfs mode=000`]],
    ['whose count of VFs is garbled', [...SYSFS, `F ${DEVICE}/sriov_totalvfs mode=444 = "many\\n"`]],
    ['whose physfn leads nowhere', [...SYSFS, `L ${DEVICE}/physfn -> ../here`]],
    ['of a recording without sysfs', undefined],
  ])('what a function %s is in SR-IOV is unknown', async (_name, sysfs) => {
    put({ ...(sysfs === undefined ? {} : { sysfs }), hwInfo: [hwInfoItem()] });
    expect((await probe()).devices[0]?.sriov).toMatchObject({
      role: 'unknown',
      remedy: expect.stringContaining('ecord'),
    });
  });

  test('damaged lines are told with file and line, and nothing is made of them', async () => {
    const lines = [
      ...SYSFS,
      `F ${DEVICE}/revision mode=444 = "0x`,
      'X what',
      'L /sys/a',
      'constructor /sys/b',
      '__proto__ x',
    ];
    put({ sysfs: lines });
    const { findings, devices } = await probe();
    expect(findings.map(({ subject }) => subject.slice(subject.lastIndexOf('/') + 1))).toEqual([
      'sysfs.txt:15',
      'sysfs.txt:16',
      'sysfs.txt:17',
      'sysfs.txt:18',
      'sysfs.txt:19',
    ]);
    expect(devices[0]?.vendor).toBe(0x10de);
  });

  test.each<[string, string]>([
    ['empty', ''],
    ['cut short at the end of a line', `# vsmmu recording 1\n${SYSFS.slice(0, 7).join('\n')}\n`],
    ['cut short inside a line', `${SYSFS.slice(0, 7).join('\n')}\nL ${DEVICE}/dri`],
    ['damaged in a line', `${SYSFS.slice(0, 7).join('\n')}\nX ${DEVICE}/driver\n`],
  ])('the silence of a sysfs.txt that is %s says nothing', async (_name, text) => {
    put({ hwInfo: [hwInfoItem()] });
    writeFileSync(join(dir, 'sysfs.txt'), text);
    const { devices, findings } = await probe();
    expect(findings.map(({ code }) => code)).toContain('RECORDING_DAMAGED');
    const [device] = devices;
    for (const answer of [device?.numaNode, device?.smmu, device?.firmwareAts, device?.cdev])
      expect(answer).toMatchObject({
        known: false,
        remedy: expect.stringContaining('Record the host again'),
      });
  });

  test('a last line without its end is left out', async () => {
    writeFileSync(join(dir, 'sysfs.txt'), `${SYSFS.join('\n')}\nF ${DEVICE}/revision mode=444 = "0x"`);
    expect((await probe()).findings[0]?.message).toContain('the file ends inside this line');
  });

  test('garbled sysfs values are findings, not numbers', async () => {
    const lines = SYSFS.map((line) =>
      line.replace('"0x10de\\n"', '"zz\\u0000é"').replace('= "1\\n"', '= "node one"'),
    );
    put({ sysfs: lines });
    const { findings, devices } = await probe();
    expect(findings.map(({ code }) => code)).toEqual(['SYSFS_DAMAGED', 'SYSFS_DAMAGED']);
    expect(devices[0]?.vendor).toBeUndefined();
    expect(devices[0]?.numaNode.known).toBe(false);
  });

  test('links that go in circles end', async () => {
    put({
      sysfs: [
        'L /sys/bus/pci/devices/0000:00:03.0 -> ../devices/0000:00:04.0',
        'L /sys/bus/pci/devices/0000:00:04.0 -> ../devices/0000:00:03.0',
        'L /sys/bus/pci/devices/0000:00:05.0 -> /sys/bus/pci/devices/0000:00:05.0/sub',
        'L /sys/class/iommu -> ../class/iommu',
      ],
    });
    const { devices } = await probe();
    expect(devices.map(({ bdf, smmu }) => [bdf, smmu.known])).toEqual([
      ['0000:00:03.0', false],
      ['0000:00:04.0', false],
      ['0000:00:05.0', false],
    ]);
  });

  test('a 5-digit domain is an address like any other', async () => {
    put({ sysfs: SYSFS.map((line) => line.replaceAll('0000:00:03.0', '10001:00:03.0')) });
    expect((await probe()).devices[0]).toMatchObject({ bdf: '10001:00:03.0', numaNode: { value: 1 } });
  });

  test('config space rows out of order end it there', async () => {
    const row = (at: string) => `${at}: ${Array<string>(16).fill('00').join(' ')}\n`;
    put({ pciConfig: `00:03.0 Display controller\n${row('00')}${row('10')}${row('30')}${row('20')}` });
    const { findings, devices } = await probe();
    expect(findings[0]?.message).toContain('pci-config.txt:4: expected offset 20');
    expect(devices[0]).toMatchObject({ bdf: '0000:00:03.0', atsCapability: { known: false } });
  });
});

describe('properties of recordings', () => {
  const lineNoise = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.constantFrom(...SYSFS),
    fc.tuple(fc.constantFrom(...SYSFS), fc.nat(120)).map(([line, at]) => line.slice(0, at)),
    fc
      .tuple(fc.constantFrom('D', 'L', 'F', 'W', 'B', 'DEV'), fc.string({ maxLength: 60 }))
      .map(([kind, rest]) => `${kind} /sys/${rest}`),
  );

  test('whatever the files hold, the outcome is a report or an error with a code', async () => {
    const property = fc.asyncProperty(
      fc.array(lineNoise, { maxLength: 30 }),
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.oneof(fc.json(), fc.string(), fc.constant(JSON.stringify([hwInfoItem()]))),
      async (sysfs, pciConfig, hwInfo) => {
        put({ sysfs, pciConfig, hwInfo });
        try {
          expect((await probe()).devices).toBeDefined();
        } catch (error) {
          expect(error).toBeInstanceOf(VsmmuError);
        }
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });

  test('hw_info cut anywhere never gives a register that the whole does not have', async () => {
    put({ sysfs: SYSFS, hwInfo: [hwInfoItem()] });
    const whole = valueOf(
      (await probe()).smmus[0]?.registers ?? { known: false, because: '', remedy: '', evidence: [] },
    );
    const property = fc.asyncProperty(
      fc.constantFrom('struct_hex', 'data_hex'),
      fc.nat(80),
      fc.string({ maxLength: 12 }),
      async (field, cut, glued) => {
        put({ hwInfo: [hwInfoItem({ [field]: String(hwInfoItem()[field]).slice(0, cut) + `!${glued}` })] });
        const registers = (await probe()).smmus[0]?.registers;
        if (registers?.known === true) expect(registers.value).toEqual(whole);
      },
    );
    await fc.assert(property, { numRuns: 200 });
  });
});
