import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runDoctor, type DoctorCommandOptions } from '../src/cli/commands/doctor.js';
import { CHECKS } from '../src/doctor/check.js';
import { checkEnvironment } from '../src/doctor/environment-checks.js';
import {
  lookAround,
  type Environment,
  type EnvironmentOptions,
  type NodeAccess,
} from '../src/doctor/environment.js';
import { openLiveHost } from '../src/host/live-host.js';
import { capturedIo } from './captured-io.js';
import { sharedData } from './shared-data.js';

const GRACE = resolve('test/fixtures/hosts/grace-2gpu');
const ASKED = { bind: false, kubeletDir: '/nonexistent', output: 'json' } as const;

interface Told {
  readonly success: boolean;
  readonly categories: readonly {
    readonly categoryName: string;
    readonly checks: readonly {
      readonly code: string;
      readonly result: string;
      readonly evidence: string;
      readonly hint?: string;
      readonly page: string;
      readonly subject?: string;
    }[];
  }[];
}

async function doctor(options: Partial<DoctorCommandOptions>) {
  const io = capturedIo();
  const status = await runDoctor({ ...ASKED, ...options }, io);
  const told = JSON.parse(io.out()) as Told;
  const checks = told.categories.flatMap(({ checks: of }) => of);
  return { status, told, checks, of: (code: string) => checks.filter((check) => check.code === code) };
}

test('every code has its section in docs/doctor.md', () => {
  const headings = readFileSync('docs/doctor.md', 'utf8').match(/^## .*$/gm);
  expect(headings).toEqual(Object.keys(CHECKS).map((code) => `## ${code}`));
});

const UNREAD = { ok: false, errno: 'EACCES', because: 'EACCES' } as const;
const NOTHING_READ: Environment = {
  iommuNode: UNREAD,
  launcherRoot: undefined,
  access: [{ path: '/dev/iommu', refusal: 'EACCES' }],
  memlock: UNREAD,
  qemuSmmu: UNREAD,
  qemuVfio: UNREAD,
  libvirtSchema: UNREAD,
  kubelet: UNREAD,
};

/** Every check says what was read, what to do where it is not ok, and where more is written of it. */
function expectWhole(checks: Awaited<ReturnType<typeof doctor>>['checks']): void {
  // Where there is no SMMU, FIRMWARE_SMMU says so and SMMU_ACCEL has nothing to speak of.
  const codes = Object.keys(CHECKS).filter((code) => code !== 'SMMU_ACCEL');
  expect([...new Set(checks.map(({ code }) => code))]).toEqual(expect.arrayContaining(codes));
  for (const { code, result, evidence, hint, page } of checks) {
    expect([code, evidence]).toEqual([code, expect.stringMatching(/\S/)]);
    if (result !== 'ok') expect([code, hint]).toEqual([code, expect.stringMatching(/^[A-Z`].*\.$/)]);
    expect(page).toBe(`docs/doctor.md#${code.toLowerCase()}`);
  }
}

describe('every outcome has evidence, a page, and a remedy where it is not ok', () => {
  test('of a good recording', async () => {
    expectWhole((await doctor({ host: GRACE })).checks);
  });

  test.each<[string, readonly string[]]>([
    ['says nothing', []],
    ['has a kernel without a version', ['# Linux version mainline (x@y) #1']],
    ['has a kernel of before nesting', ['# Linux version 6.12.1 (x@y) #1', '# cmdline pci=noats']],
    [
      'keeps one option',
      ['# Linux version 7.1.0 (x@y) #1', 'F /boot/config-7.1.0 mode=444 = "CONFIG_VFIO=y\\n"'],
    ],
    ['has no nodes', ['# Linux version 7.1.0 (x@y) #1', 'DEV /dev/null']],
  ])('of a recording that %s', async (_, lines) => {
    const host = mkdtempSync(join(tmpdir(), 'vsmmu-doc-'));
    try {
      writeFileSync(join(host, 'sysfs.txt'), lines.map((line) => `${line}\n`).join(''));
      expectWhole((await doctor({ host })).checks);
    } finally {
      rmSync(host, { recursive: true });
    }
  });

  const HOSTS = sharedData('hosts');
  const recorded = existsSync(HOSTS) ? readdirSync(HOSTS) : [];
  (recorded.length > 0 ? test.each(recorded) : test.skip.each(['shared recordings']))(
    'of recording %s (needs the shared recordings)',
    async (name) => {
      expectWhole((await doctor({ host: join(HOSTS, name) })).checks);
    },
  );

  test('of this host, without a launcher and a kubelet, and of one where nothing can be read', async () => {
    expectWhole((await doctor({})).checks);
    const outcomes = checkEnvironment(NOTHING_READ);
    for (const { code, remedy } of outcomes)
      expect([code, remedy]).toEqual([code, expect.stringMatching(/^[A-Z].*\.$/)]);
  });
});

describe('on a recording', () => {
  test('a good host passes; what a recording cannot tell is unknown, not passed', async () => {
    const { status, told, checks, of } = await doctor({ host: GRACE });
    expect(checks.filter(({ result }) => result === 'error' || result === 'warning')).toEqual([]);
    expect([status, told.success]).toEqual([0, true]);
    expect(of('SMMU_ACCEL').map(({ result }) => result)).toEqual(['ok', 'ok']);
    for (const code of ['LIMIT_MEMLOCK', 'QEMU_SMMUV3', 'KUBELET_SOCKET', 'NODE_ACCESS'])
      expect(of(code)[0]).toMatchObject({ result: 'unknown', evidence: 'a recording does not tell' });
  });

  const OLD = sharedData('hosts', 'linux-6.12-no-iommufd');
  const onOld = existsSync(OLD) ? test : test.skip;
  onOld(
    'linux-6.12-no-iommufd (needs the shared recordings): errors with remedies, exit status 1',
    async () => {
      const { status, told, of } = await doctor({ host: OLD });
      expect([status, told.success]).toEqual([1, false]);
      expect(of('KERNEL_VERSION')[0]).toMatchObject({
        result: 'error',
        evidence: expect.stringMatching(/^Linux 6\.12\.117\+deb12-arm64; 6\.13 brings registers of the SMMU/),
      });
      expect(of('NODE_IOMMU')[0]).toMatchObject({
        result: 'error',
        hint: expect.stringContaining('iommufd'),
      });
      expect(of('NODE_CDEV')).toHaveLength(6);
      expect(of('SMMU_ACCEL')[0]).toMatchObject({ result: 'unknown' });
      expect(of('KERNEL_ATS')[0]).toMatchObject({ result: 'warning' });
    },
  );

  const PXB = sharedData('hosts', 'linux-7.1-acpi-pxb');
  const onPxb = existsSync(PXB) ? test : test.skip;
  onPxb(
    'linux-7.1-acpi-pxb (needs the shared recordings): no stage 2, and firmware without ATS',
    async () => {
      const { of } = await doctor({ host: PXB });
      expect(of('SMMU_ACCEL')[0]).toMatchObject({
        result: 'error',
        evidence: expect.stringContaining('no stage 2'),
      });
      expect(of('FIRMWARE_ATS')[0]).toMatchObject({
        result: 'warning',
        evidence: expect.stringContaining('0000:06:00.0'),
      });
      expect(of('DRIVER_VFIO')[0]).toMatchObject({ result: 'ok', evidence: '7 devices on vfio-pci' });
    },
  );

  describe('what was not read is not passed', () => {
    let host: string;
    beforeEach(() => {
      host = mkdtempSync(join(tmpdir(), 'vsmmu-doc-'));
    });
    afterEach(() => rmSync(host, { recursive: true }));
    const copy = (name: string, change: (text: string) => string) =>
      writeFileSync(join(host, name), change(readFileSync(join(GRACE, name), 'utf8')));

    test('firmware whose word on ATS is missing, of devices whose capability could not be read', async () => {
      copy('sysfs.txt', (text) => text.replace(/^F .*IORT.*\n/m, ''));
      const { of } = await doctor({ host });
      expect(of('FIRMWARE_ATS')).toMatchObject([
        { result: 'unknown', evidence: expect.stringContaining('has the ATS capability is unknown') },
      ]);
    });

    test('an SMMU, by a recording without sysfs', async () => {
      copy('pci-config.txt', (text) => text);
      expect((await doctor({ host })).of('FIRMWARE_SMMU')[0]?.result).toBe('unknown');
    });

    test('groups and nodes, where no device is on a VFIO driver', async () => {
      copy('sysfs.txt', (text) =>
        text.replace(/^L .*\/driver -> .*\n/gm, '').replace(/^[DF] .*\/vfio-dev.*\n/gm, ''),
      );
      const { of } = await doctor({ host });
      for (const code of ['GROUP_VIABLE', 'NODE_CDEV', 'FIRMWARE_ATS'])
        expect(of(code)).toMatchObject([{ result: 'unknown', evidence: 'no VFIO device to look at' }]);
    });

    test('a device in no-IOMMU mode is told what is the matter with it, not with its group', async () => {
      copy('sysfs.txt', (text) => text.replace(/^L .*\/iommu_group -> .*\n/gm, ''));
      expect((await doctor({ host })).of('GROUP_VIABLE')[0]).toMatchObject({
        result: 'error',
        hint: expect.stringContaining('behind an SMMU'),
      });
    });
  });

  test('as a table: marks, code, evidence, remedy', async () => {
    const io = capturedIo();
    await runDoctor({ ...ASKED, host: GRACE, output: 'table' }, io);
    expect(io.out()).toMatch(/^√ can carry an accelerated vSMMU: smmu3\.\S+ \[SMMU_ACCEL\]$/m);
    expect(io.out()).toMatch(/^\? memory may be locked without limit \[LIMIT_MEMLOCK\]$/m);
    expect(io.out()).toMatch(/^\d+ ok, 0 warnings, 0 errors, \d+ could not be checked$/m);
  });
});

describe('around a live host', () => {
  let dir: string;
  let kubelet: Server;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'vsmmu-doc-'));
    mkdirSync(join(dir, 'kubelet/device-plugins'), { recursive: true });
    kubelet = createServer((socket) => socket.end());
    await new Promise<void>((done) => kubelet.listen(join(dir, 'kubelet/device-plugins/kubelet.sock'), done));
  });
  afterAll(async () => {
    await new Promise((done) => kubelet.close(done));
    rmSync(dir, { recursive: true, force: true });
  });

  /** A program in QEMU's place that prints properties as QEMU does. */
  function qemu(name: string, smmu: readonly string[], vfio: readonly string[]): string {
    const folder = join(dir, name);
    mkdirSync(folder, { recursive: true });
    const echo = (properties: readonly string[]) =>
      properties.map((property) => `echo "  ${property}=<str>   - what it is"`).join('\n') || ':';
    const program = join(folder, 'qemu-system-aarch64');
    writeFileSync(
      program,
      `#!/bin/sh\ncase "$4" in\narm-smmuv3,help) ${echo(smmu)};;\n*) ${echo(vfio)};;\nesac\n`,
    );
    chmodSync(program, 0o755);
    return folder;
  }

  const outcomes = async (options: Partial<EnvironmentOptions>, nodes: readonly string[] = []) => {
    const source = openLiveHost({ bind: false });
    const environment = await lookAround(source, nodes, {
      live: true,
      kubeletDir: join(dir, 'kubelet'),
      path: '',
      ...options,
    });
    return new Map(checkEnvironment(environment).map((outcome) => [outcome.code, outcome]));
  };

  const ALL = ['accel', 'ats', 'ril', 'ssidsize', 'oas', 'cmdqv'];
  test.each([
    ['full', ALL, ['ats', 'host'], 'ok', 'ok'],
    ['without-cmdqv', ALL.slice(0, -1), ['host', 'x-ats'], 'warning', 'warning'],
    ['old', ['stage', 'bus_num'], ['host'], 'error', 'warning'],
  ])('a QEMU that is %s', async (name, smmu, vfio, first, second) => {
    const checks = await outcomes({ path: qemu(name, smmu, vfio) });
    expect(checks.get('QEMU_SMMUV3')?.result).toBe(first);
    expect(checks.get('QEMU_VFIO_ATS')?.result).toBe(second);
  });

  test('a QEMU that fails is unknown, with what it said', async () => {
    const folder = qemu('failing', [], []);
    writeFileSync(join(folder, 'qemu-system-aarch64'), '#!/bin/sh\necho "no such machine" >&2\nexit 1\n');
    const check = (await outcomes({ path: folder })).get('QEMU_SMMUV3');
    expect(check).toMatchObject({ result: 'unknown', evidence: expect.stringContaining('no such machine') });
  });

  test('a launcher without QEMU or libvirt is unknown', async () => {
    const checks = await outcomes({ launcherRoot: dir });
    expect(checks.get('QEMU_SMMUV3')).toMatchObject({ result: 'unknown' });
    expect(checks.get('LIBVIRT_SCHEMA')).toMatchObject({
      result: 'unknown',
      evidence: expect.stringContaining('ENOENT'),
    });
  });

  test.each([
    ['pciBus accel cmdqv ats ril ssidsize oas', 'ok', ''],
    ['pciBus accel ats ril ssidSize oas', 'warning', 'ssidSize'],
    ['pciBus', 'warning', 'no accel, cmdqv, ats, ril'],
  ])('a schema with %s', async (names, result, word) => {
    const root = mkdtempSync(join(dir, 'image-'));
    mkdirSync(join(root, 'usr/share/libvirt/schemas'), { recursive: true });
    const attributes = names.split(' ').map((name) => `<attribute name="${name}"/>`);
    const schema = [
      '<define name="virtio"><attribute name="ats"/><attribute name="accel"/></define>',
      `<define name="iommu"><element name="iommu">\n${attributes.join('\n')}\n</element></define>`,
    ];
    writeFileSync(join(root, 'usr/share/libvirt/schemas/domaincommon.rng'), schema.join('\n'));
    const check = (await outcomes({ launcherRoot: root })).get('LIBVIRT_SCHEMA');
    expect(check?.result).toBe(result);
    expect(check?.evidence).toContain(word);
  });

  test('a kubelet that answers, one that is not there, one that refuses', async () => {
    expect((await outcomes({})).get('KUBELET_SOCKET')?.result).toBe('ok');
    expect((await outcomes({ kubeletDir: dir })).get('KUBELET_SOCKET')?.result).toBe('unknown');
    mkdirSync(join(dir, 'dead/device-plugins'), { recursive: true });
    writeFileSync(join(dir, 'dead/device-plugins/kubelet.sock'), '');
    expect((await outcomes({ kubeletDir: join(dir, 'dead') })).get('KUBELET_SOCKET')?.result).toBe('error');
  });

  test('nodes that may not be opened are named with the errno', async () => {
    const node = join(dir, 'kubelet/device-plugins/kubelet.sock/vfio0');
    const check = (await outcomes({}, [node])).get('NODE_ACCESS');
    expect(check).toMatchObject({ result: 'error', evidence: expect.stringContaining(`${node} (ENOTDIR)`) });
  });

  test('a node that is not there is no matter of privilege', () => {
    const node = { path: '/dev/iommu', refusal: 'ENOENT' };
    const of = (access: readonly NodeAccess[]) =>
      checkEnvironment({ ...NOTHING_READ, access }).find(({ code }) => code === 'NODE_ACCESS');
    expect(of([node])).toMatchObject({ result: 'unknown', remedy: expect.stringContaining('NODE_IOMMU') });
    expect(of([node, { path: '/dev/vfio/devices/vfio0', refusal: undefined }])).toMatchObject({
      result: 'ok',
      evidence: '/dev/vfio/devices/vfio0',
    });
  });

  test('who named a launcher is not told to name one', async () => {
    const checks = await outcomes({ launcherRoot: dir });
    for (const code of ['QEMU_SMMUV3', 'QEMU_VFIO_ATS', 'LIBVIRT_SCHEMA'] as const)
      expect(checks.get(code)?.remedy).toMatch(/unpacked virt-launcher image, and run as root/);
  });
});
