import { existsSync } from 'node:fs';
import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from '@jest/globals';

import { runProgram } from '../src/cli/program.js';
import { parseAnnotation } from '../src/kubevirt/read-resolved.js';
import { capturedIo } from './captured-io.js';
import { sharedData } from './shared-data.js';

const DEMO_HOST = 'src/cli/demo/two-gpu-host';

async function run(...args: readonly string[]) {
  const io = capturedIo();
  const status = await runProgram(args, io);
  return { status, out: io.out(), err: io.err() };
}

describe('vsmmu resolve --host', () => {
  test('resolves each SMMU of a recording for the devices behind it', async () => {
    const { status, out } = await run('resolve', '--host', DEMO_HOST, '-o', 'json');
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      smmus: [
        {
          smmu: 'smmu3.0x0000000005000000',
          ok: true,
          vsmmu: { ats: 'on', ril: 'on', ssidsize: 20, oas: 48, pasid: true },
          devices: [
            { bdf: '0009:01:00.0', atsExposed: true, effectiveAts: 'yes' },
            { bdf: '000a:01:00.0', atsExposed: false, effectiveAts: 'no' },
          ],
        },
        {
          smmu: 'smmu3.0x0000000105000000',
          ok: true,
          vsmmu: { ats: 'on', ril: 'off', ssidsize: 16, oas: 48, pasid: true },
          devices: [{ bdf: '0019:01:00.0', atsExposed: true, effectiveAts: 'yes' }],
        },
      ],
    });
  });

  test('names the register behind every value', async () => {
    const { out } = await run('resolve', '--host', DEMO_HOST);
    expect(out).toMatch(/smmu3\.0x0000000105000000 +vSMMU +ssidsize +16 +IDR1\[10:6\]=16/);
  });

  test('-o annotation tells of the devices that a VM could be given, and of no other', async () => {
    const { status, out } = await run('resolve', '--host', DEMO_HOST, '-o', 'annotation', '--node', 'gpu-7');
    expect(status).toBe(0);
    const features = parseAnnotation(out).features;
    expect([...features.devices.keys()]).toEqual(['0009:01:00.0', '000a:01:00.0', '0019:01:00.0']);
    expect(features.origin).toContain('gpu-7');
  });

  test('a folder without a recording fails with its place', async () => {
    const { status, out, err } = await run('resolve', '--host', '/nonexistent');
    expect({ status, out }).toEqual({ status: 3, out: '' });
    expect(err).toContain('error[RECORDING_UNREADABLE] at /nonexistent: there is no such folder');
    const without = await run('resolve', '--host', 'src');
    expect(without.err).toContain('at src: the folder holds no recording of a host');
  });

  test('a file in place of the folder is told as one', async () => {
    const { status, out, err } = await run('probe', '--host', 'package.json');
    expect({ status, out }).toEqual({ status: 3, out: '' });
    expect(err).toContain('error[RECORDING_UNREADABLE] at package.json: this is a file, not a folder');
  });
});

describe('vsmmu baseline', () => {
  test('one host alone is its own baseline, with the least of its SMMUs', async () => {
    const { status, out } = await run('baseline', '--host', DEMO_HOST, '-o', 'json');
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual({
      vsmmu: {
        ats: { value: 'on', limitedBy: [] },
        ril: { value: 'off', limitedBy: ['two-gpu-host'] },
        ssidsize: { value: 16, limitedBy: ['two-gpu-host'] },
        oas: { value: 48, limitedBy: [] },
        cmdqv: { value: 'off', limitedBy: ['two-gpu-host'] },
      },
      devices: {
        '10de:2941': { ats: { value: 'yes', limitedBy: [] } },
        '15b3:1023': { ats: { value: 'no', limitedBy: ['two-gpu-host'] } },
      },
      members: ['two-gpu-host'],
      excluded: [],
    });
  });

  test('two folders of one name are a usage error', async () => {
    const copy = join(await mkdtemp(join(tmpdir(), 'vsmmu-')), 'two-gpu-host');
    await cp(DEMO_HOST, copy, { recursive: true });
    const { status, err } = await run('baseline', '--host', DEMO_HOST, '--host', copy);
    expect(status).toBe(2);
    expect(err).toContain('would both be called "two-gpu-host"');
  });

  test('without a host it is about the cluster, which must be named somewhere', async () => {
    const { status, err } = await run('baseline', '--kubeconfig', 'no-such-file');
    expect(status).toBe(3);
    expect(err).toContain('error[KUBE_CONFIG] at no-such-file');
  });

  const recorded = existsSync(sharedData('hosts')) ? test : test.skip;
  recorded('real kernels: who limits what, and who is left out (needs the shared recordings)', async () => {
    const hosts = ['linux-7.1-acpi-pxb', 'linux-7.1-idr-ats', 'linux-7.1-idr-noril', 'linux-6.12-no-iommufd'];
    const flags = hosts.flatMap((name) => ['--host', sharedData('hosts', name)]);
    const { status, out } = await run('baseline', ...flags, '-o', 'json');
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      vsmmu: {
        ats: { value: 'off', limitedBy: ['linux-7.1-acpi-pxb', 'linux-7.1-idr-noril'] },
        ril: { value: 'off', limitedBy: ['linux-7.1-idr-noril'] },
        ssidsize: { value: 0, limitedBy: ['linux-7.1-acpi-pxb', 'linux-7.1-idr-noril'] },
        oas: { value: 44, limitedBy: ['linux-7.1-acpi-pxb'] },
      },
      members: ['linux-7.1-acpi-pxb', 'linux-7.1-idr-ats', 'linux-7.1-idr-noril'],
      excluded: [{ name: 'linux-6.12-no-iommufd', reason: expect.any(String) }],
    });
  });
});

describe('a host whose kernel refused to nest (recorded in a guest)', () => {
  test('resolves nothing, and says why, device by device', async () => {
    const { status, out } = await run(
      'resolve',
      '--host',
      'test/fixtures/hosts/linux-7.2-iommufd',
      '-o',
      'json',
    );
    expect(status).toBe(1);
    const { smmus } = JSON.parse(out) as { smmus: { ok: boolean; errors: { code: string }[] }[] };
    expect(smmus.length).toBeGreaterThan(0);
    for (const { ok, errors } of smmus) {
      expect(ok).toBe(false);
      expect(errors.map(({ code }) => code)).toContain('NESTING_REFUSED');
    }
  });

  test('cannot be part of a baseline', async () => {
    const { status, out } = await run(
      'baseline',
      '--host',
      'test/fixtures/hosts/linux-7.2-iommufd',
      '-o',
      'json',
    );
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      vsmmu: null,
      excluded: [{ name: 'linux-7.2-iommufd', reason: expect.stringContaining('refused to nest') }],
    });
  });
});
