import { describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { runProbe } from '../src/cli/commands/probe.js';
import { featuresOf } from '../src/host/features.js';
import { openRecording } from '../src/host/recording.js';
import { probeHost } from '../src/host/probe.js';
import type { HostReport } from '../src/host/report.js';
import { valueOf, yesNo } from '../src/smmu/answer.js';
import { capturedIo } from './captured-io.js';
import { sharedData } from './shared-data.js';

const probe = async (name: string) => probeHost(await openRecording(sharedData('hosts', name)));

/** A describe that says by name what is missing. */
function describeRecording(name: string, tests: () => void): void {
  if (existsSync(sharedData('hosts', name))) describe(name, tests);
  else test.skip(`${name} needs the shared recordings`, () => undefined);
}

function devicesOf(report: HostReport) {
  return report.devices
    .filter((device) => device.vfio)
    .map((device) => [
      device.bdf,
      valueOf(device.smmu),
      valueOf(device.iommuGroup),
      device.groupMates.join(','),
      valueOf(device.cdev),
      yesNo(device.atsCapability),
      valueOf(device.kernelAts),
      yesNo(device.effectiveAts),
      valueOf(device.effectivePasidBits),
      device.passthrough.ready,
    ]);
}

describeRecording('linux-7.1-acpi-pxb', () => {
  const SMMU = 'smmu3.0x0000000009050000';
  const cdev = (n: number) => `/dev/vfio/devices/vfio${n}`;

  test('every VFIO device, with what the kernel says of it', async () => {
    const report = await probe('linux-7.1-acpi-pxb');
    expect(devicesOf(report)).toEqual([
      ['0000:01:00.0', SMMU, 11, '', cdev(0), 'no', 'not-supported', 'no', 0, true],
      ['0000:02:00.0', SMMU, 12, '', cdev(1), 'no', 'not-supported', 'no', 0, true],
      ['0000:05:00.0', SMMU, 14, '0000:04:00.0', cdev(2), 'no', 'not-supported', 'no', 0, true],
      ['0000:06:00.0', SMMU, 15, '0000:04:01.0', cdev(3), 'yes', 'not-supported', 'no', 0, true],
      ['0000:07:01.0', SMMU, 8, '0000:00:06.0', cdev(4), 'no', 'not-supported', 'no', 0, true],
      ['0000:08:00.0', SMMU, 16, '', cdev(5), 'no', 'not-supported', 'no', 0, true],
      ['0000:41:00.0', SMMU, 1, '', cdev(6), 'no', 'not-supported', 'no', 0, true],
    ]);
    expect(report.devices).toHaveLength(20);
    expect(report.findings).toEqual([]);
  });

  test('one SMMU that passes the checks of QEMU, yet has no stage 2 for the kernel to nest on', async () => {
    const { smmus } = await probe('linux-7.1-acpi-pxb');
    expect(smmus.map(({ name, features }) => [name, features.limits, features.obstacles])).toEqual([
      [SMMU, { ats: false, ril: true, ssidsize: 0, oas: 44, cmdqv: false }, []],
    ]);
    expect(smmus[0]?.accel).toMatchObject({
      value: false,
      evidence: [{ reading: 'IDR0[0]=0: no stage 2 to nest on' }],
    });
    const readings = smmus[0]?.registers.evidence.map(({ reading }) => reading);
    expect(readings).toEqual(
      expect.arrayContaining(['IDR0=0x0d40101a', 'IDR0[10]=0', 'IDR3[10]=1', 'IDR5[2:0]=4']),
    );
  });

  test('the canary comes before the version: the kernel calls itself 7.0.0-test', async () => {
    const { kernel } = await probe('linux-7.1-acpi-pxb');
    expect(valueOf(kernel.release)).toBe('7.0.0-test');
    expect(kernel.reportsAts).toEqual({
      known: true,
      value: true,
      evidence: [{ reading: 'out_capabilities bit 3 set', source: 'IOMMU_GET_HW_INFO of 0000:01:00.0' }],
    });
  });

  test('firmware does not let the root complex use ATS', async () => {
    const { devices } = await probe('linux-7.1-acpi-pxb');
    expect(devices[0]?.firmwareAts).toEqual({
      known: true,
      value: false,
      evidence: [
        {
          reading: 'root complex of segment 0: ats_attribute bit 0 = 0',
          source: '/sys/firmware/acpi/tables/IORT',
        },
      ],
    });
  });

  test('PCIe root, reset methods, SR-IOV and group members', async () => {
    const { devices } = await probe('linux-7.1-acpi-pxb');
    const of = (bdf: string) => devices.find((device) => device.bdf.endsWith(bdf));
    expect([valueOf(of('05:00.0')!.pcieRoot), valueOf(of('41:00.0')!.pcieRoot)]).toEqual([
      'pci0000:00',
      'pci0000:40',
    ]);
    expect(valueOf(of('01:00.0')!.resetMethods)).toEqual(['pm', 'bus']);
    expect(of('08:00.0')?.sriov).toEqual({ role: 'physical', total: 2, enabled: 0, virtualFunctions: [] });
    expect(of('01:00.0')?.sriov).toEqual({ role: 'none' });
    expect(of('05:00.0')?.groupMembers).toEqual([
      { bdf: '0000:04:00.0', driver: 'pcieport', hinders: false },
    ]);
  });

  test('no numa_node file is told apart from -1', async () => {
    const { devices } = await probe('linux-7.1-acpi-pxb');
    expect(devices[0]?.numaNode).toMatchObject({
      known: false,
      because: expect.stringContaining('CONFIG_NUMA'),
    });
  });

  test('everything else with the reason why not', async () => {
    const { devices } = await probe('linux-7.1-acpi-pxb');
    const reasons = devices.flatMap(({ bdf, passthrough }) =>
      passthrough.ready ? [] : [[bdf, passthrough.reason]],
    );
    expect(reasons).toContainEqual(['0000:00:03.0', 'a bridge is not passed through']);
    expect(reasons).toContainEqual([
      '0000:00:01.0',
      'on driver virtio-pci; bind it to vfio-pci or its variant driver',
    ]);
    expect(reasons).toHaveLength(13);
  });
});

describeRecording('linux-6.12-no-iommufd', () => {
  test('nothing of the SMMU is known, and the reason is told once', async () => {
    const report = await probe('linux-6.12-no-iommufd');
    expect(
      report.smmus.map(({ registers, accel, cmdqv }) => [registers.known, accel.known, cmdqv.known]),
    ).toEqual([[false, false, false]]);
    expect(report.findings.map(({ code, subject }) => [code, subject])).toEqual([
      ['PROBE_NO_NODE', '/dev/iommu'],
    ]);
  });

  test('a kernel that cannot report ATS gives unknown, a missing capability gives no', async () => {
    const { devices } = await probe('linux-6.12-no-iommufd');
    const ats = devices
      .filter((device) => device.vfio)
      .map((device) => [device.bdf, yesNo(device.effectiveAts)]);
    expect(ats).toEqual([
      ['0000:01:00.0', 'no'],
      ['0000:02:00.0', 'no'],
      ['0000:05:00.0', 'no'],
      ['0000:06:00.0', 'unknown'],
      ['0000:07:01.0', 'no'],
      ['0000:08:00.0', 'no'],
    ]);
    const virtio = devices.find((device) => device.bdf.startsWith('0000:06'));
    expect(virtio?.kernelAts).toMatchObject({
      known: false,
      because: expect.stringContaining('kernel 6.12.117+deb12-arm64 cannot say'),
    });
  });

  test('sysfs has vfio-dev entries but there is no node, so no cdev is told', async () => {
    const { devices } = await probe('linux-6.12-no-iommufd');
    const cdevs = devices
      .filter((device) => device.vfio)
      .map(({ cdev }) => (cdev.known ? cdev.value : cdev.because));
    expect(cdevs[0]).toBe('/dev/vfio/devices/vfio0 does not exist although sysfs has vfio0');
    expect(
      valueOf(devices[0]?.numaNode ?? { known: false, because: '', remedy: '', evidence: [] }),
    ).toBeNull();
  });

  test('its group mates: the whole switch is one group', async () => {
    const { devices } = await probe('linux-6.12-no-iommufd');
    const nic = devices.find((device) => device.bdf.startsWith('0000:05'));
    expect(nic?.groupMates).toEqual([
      '0000:00:05.0',
      '0000:03:00.0',
      '0000:04:00.0',
      '0000:04:01.0',
      '0000:06:00.0',
    ]);
    expect(nic?.passthrough).toEqual({ ready: true, driver: 'vfio-pci' });
  });
});

describeRecording('linux-7.1-idr-ats', () => {
  test('hw_info alone: two devices behind one SMMU of unknown name, one with ATS', async () => {
    const report = await probe('linux-7.1-idr-ats');
    expect(devicesOf(report)).toEqual([
      ['0000:01:00.0', undefined, undefined, '', undefined, 'unknown', 'not-supported', 'no', 0, true],
      ['0000:06:00.0', undefined, undefined, '', undefined, 'yes', 'supported', 'yes', 0, true],
    ]);
    expect(report.smmus.map(({ named, features }) => [named, features])).toEqual([
      [
        false,
        {
          name: undefined,
          limits: { ats: true, ril: true, ssidsize: 20, oas: 48, cmdqv: undefined },
          obstacles: [],
        },
      ],
    ]);
    expect(report.kernel.release.known).toBe(false);
  });

  test('kernel log text glued behind the hex is a finding, the valid bytes are used', async () => {
    const { findings, smmus } = await probe('linux-7.1-idr-ats');
    expect(findings.map(({ code }) => code)).toEqual(['RECORDING_DAMAGED']);
    expect(findings[0]?.message).toContain('iommu-hw-info.json item 1: data_hex has text behind the hex');
    expect(smmus[0]?.accel).toMatchObject({ known: false, because: expect.stringContaining('not proven') });
    expect(smmus[0]?.registers).toMatchObject({ value: { words: [223090331, 41092368, 0, 5124, 0, 117] } });
  });

  test('what the rules get of it', async () => {
    const features = featuresOf(await probe('linux-7.1-idr-ats'));
    expect(
      [...features.devices.values()].map((device) => [device.bdf, device.kernelAts, device.atsCapability]),
    ).toEqual([
      ['0000:01:00.0', 'not-supported', undefined],
      ['0000:06:00.0', 'supported', true],
    ]);
    const [first, second] = [...features.devices.values()];
    expect(first?.smmu).toBe(second?.smmu);
  });
});

describeRecording('linux-7.1-idr-noril', () => {
  test('no RIL, BBML 0, OAS 48', async () => {
    const { smmus } = await probe('linux-7.1-idr-noril');
    expect(smmus[0]?.features.limits).toEqual({
      ats: false,
      ril: false,
      ssidsize: 0,
      oas: 48,
      cmdqv: undefined,
    });
    expect(smmus[0]?.registers).toMatchObject({ value: { decoded: { bbml: 0, ril: false } } });
  });
});

describeRecording('linux-7.1-acpi-pxb', () => {
  const host = sharedData('hosts', 'linux-7.1-acpi-pxb');

  test('vsmmu probe -o json holds the VFIO devices, --all every function', async () => {
    const io = capturedIo();
    expect(await runProbe({ host, all: false, output: 'json' }, io)).toBe(0);
    const short = JSON.parse(io.out()) as { format: number; devices: unknown[] };
    expect([short.format, short.devices.length, io.err()]).toEqual([1, 7, '']);

    const all = capturedIo();
    await runProbe({ host, all: true, output: 'json' }, all);
    expect((JSON.parse(all.out()) as { devices: unknown[] }).devices).toHaveLength(20);
  });

  test('vsmmu probe as a table tells the answers and why', async () => {
    const io = capturedIo();
    await runProbe({ host, all: true, output: 'table' }, io);
    expect(io.out()).toMatch(/^smmu3\.0x0000000009050000 +no +no +yes +0 +44 +no$/m);
    expect(io.out()).toMatch(/^0000:06:00\.0 +ATS: no +IDR0\[10\]=0, out_capabilities bit 3 set/m);
    expect(io.out()).toContain('a bridge is not passed through');
  });
});
