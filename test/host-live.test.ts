import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bdf } from '../src/bdf.js';
import { takeProbeLock } from '../src/host/probe-lock.js';
import { openLiveHost } from '../src/host/live-host.js';
import { openRecording } from '../src/host/recording.js';
import { probeHost } from '../src/host/probe.js';
import type { DeviceReport, HostReport } from '../src/host/report.js';
import {
  buildKit,
  findCompiler,
  liveProbe,
  replyTable,
  startLiveProbe,
  type LiveProbeKit,
} from './shim/live-probe.js';
import { sharedData } from './shared-data.js';
import { materialise } from './shim/recorded-root.js';

const RECORDING = sharedData('hosts', 'linux-7.1-acpi-pxb');
const compiler = findCompiler();
const missing = [
  ...(compiler === undefined ? ['gcc'] : []),
  ...(existsSync(RECORDING) ? [] : [`the recording ${RECORDING}`]),
];

/** vfio names of the devices in the recording. */
const NAMES = new Map([
  ['0000:01:00.0', 'vfio0'],
  ['0000:02:00.0', 'vfio1'],
  ['0000:05:00.0', 'vfio2'],
  ['0000:06:00.0', 'vfio3'],
  ['0000:07:01.0', 'vfio4'],
  ['0000:08:00.0', 'vfio5'],
  ['0000:41:00.0', 'vfio6'],
]);

/** How it came to be known, and what that recording has no queries for. */
const HOW_KNOWN = new Set(['evidence', 'origin', 'because', 'remedy', 'nesting', 'accel', 'options']);

/** Everything but how it came to be known. */
function answersOnly(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, item: unknown) => (HOW_KNOWN.has(key) ? undefined : item)));
}

function deviceIn(report: HostReport, bdf: string): DeviceReport {
  const device = report.devices.find((item) => item.bdf === (bdf as Bdf));
  if (device === undefined) throw new Error(`no ${bdf} in the report`);
  return device;
}

if (missing.length > 0)
  test.skip(`live probe through the shim did not run for want of ${missing.join(', ')}`, () => undefined);
else
  describe('live probe at the system-call boundary', () => {
    let kit: LiveProbeKit;
    let root: string;
    const table = () => replyTable(RECORDING, NAMES);

    beforeAll(() => {
      kit = buildKit(compiler ?? 'gcc');
      root = mkdtempSync(join(tmpdir(), 'vsmmu-root-'));
      materialise(RECORDING, root);
    });
    afterAll(() => {
      for (const dir of [kit.dir, root]) rmSync(dir, { recursive: true, force: true });
    });

    test('gives the answers that the recording gives', async () => {
      const { report } = await liveProbe(kit, { root }, table());
      const recorded = await probeHost(await openRecording(RECORDING));
      expect(answersOnly(report)).toEqual(answersOnly(recorded));
      expect(report.devices.filter((device) => device.vfio)).toHaveLength(7);
    });

    test('binds each device once and asks for the SMMU, then for a CMDQV', async () => {
      const { calls } = await liveProbe(kit, { root }, table());
      expect(calls.filter((call) => call.endsWith(' vfio0'))).toEqual([
        'open vfio0',
        'bind vfio0',
        'hw_info vfio0',
        'hw_info(input type) vfio0',
        'hwpt_alloc vfio0',
        'viommu_alloc vfio0',
      ]);
      expect(calls.filter((call) => call.startsWith('bind')).sort()).toEqual(
        [...NAMES.values()].map((name) => `bind ${name}`),
      );
    });

    test('leaves the event loop free while the kernel is slow', async () => {
      const { ticks, report } = await liveProbe(kit, { root }, ['delay bind vfio0 400', ...table()]);
      expect(ticks).toBeGreaterThan(10);
      expect(deviceIn(report, '0000:01:00.0').kernelAts.known).toBe(true);
    });

    const { errno } = constants;
    test('proves nesting by allocating what a vSMMU stands on', async () => {
      const { report } = await liveProbe(kit, { root }, table());
      expect(report.smmus[0]?.nesting).toMatchObject({ known: true, value: true });
      // The emulated SMMU has no stage 2: allocation alone would not make it usable.
      expect(report.smmus[0]?.accel).toMatchObject({ known: true, value: false });
    });

    test.each([
      ['hwpt', errno.EOPNOTSUPP, false, 'stage 2'],
      ['viommu', errno.EOPNOTSUPP, false, 'CANWBS'],
      ['viommu', errno.ENOTTY, false, 'IOMMU_VIOMMU_ALLOC'],
      ['hwpt', errno.ENOMEM, undefined, 'ENOMEM'],
    ])('explains errno of %s_alloc %d', async (step, number, value, word) => {
      const all = [...NAMES.values()].map((name) => `fail ${step} ${name} ${number}`);
      const { report } = await liveProbe(kit, { root }, [...all, ...table()]);
      const nesting = report.smmus[0]?.nesting;
      expect(nesting?.known === true ? nesting.value : undefined).toBe(value);
      expect(JSON.stringify(nesting)).toContain(word);
    });

    test('one device that may not nest does not speak for the SMMU', async () => {
      const { report } = await liveProbe(kit, { root }, [
        `fail viommu vfio0 ${errno.EOPNOTSUPP}`,
        ...table(),
      ]);
      expect(deviceIn(report, '0000:01:00.0').nesting).toMatchObject({ known: true, value: false });
      expect(report.smmus[0]?.nesting).toMatchObject({ known: true, value: true });
    });

    test('a device that is slow to open holds up no other', async () => {
      const { calls } = await liveProbe(kit, { root }, ['delay bind vfio0 1500', ...table()]);
      expect(calls.indexOf('hw_info vfio0')).toBeGreaterThan(calls.indexOf('viommu_alloc vfio6'));
    });

    test('many devices that are slow to open hold up no other, and no file operation of the process', async () => {
      const slow = [...NAMES.values()].slice(0, 6).map((name) => `delay bind ${name} 6000`);
      const { calls, files } = await liveProbe(kit, { root }, [...slow, ...table()]);
      const firstSlow = calls.findIndex((call) => call.startsWith('hw_info ') && !call.endsWith('vfio6'));
      expect(calls.indexOf('viommu_alloc vfio6')).toBeLessThan(firstSlow);
      expect(files).toBeGreaterThan(10);
    });

    test.each([
      ['bind', errno.EINVAL, 'PROBE_BUSY'],
      ['bind', errno.EPERM, 'PROBE_GROUP_NOT_VIABLE'],
      ['bind', errno.EBUSY, 'PROBE_GROUP_OPEN'],
      ['bind', errno.EIO, 'PROBE_FAILED'],
      ['open', errno.EACCES, 'PROBE_NOT_PERMITTED'],
      ['open', errno.EPERM, 'PROBE_NOT_PERMITTED'],
      ['open', errno.ENODEV, 'PROBE_NO_NODE'],
      ['open', errno.ENOENT, 'PROBE_NO_NODE'],
    ])(
      'names errno of %s %d as %s and still knows the SMMU from another device',
      async (step, number, code) => {
        const { report } = await liveProbe(kit, { root }, [`fail ${step} vfio0 ${number}`, ...table()]);
        const finding = report.findings.find((item) => item.subject === '0000:01:00.0');
        expect(finding?.code).toBe(code);
        expect(deviceIn(report, '0000:01:00.0').kernelAts.known).toBe(false);
        expect(report.smmus[0]?.registers.known).toBe(true);
        expect(report.smmus[0]?.features.limits?.oas).toBe(44);
      },
    );

    test.each([
      ['ENOENT', errno.ENOENT, 'PROBE_NO_NODE'],
      ['EOPNOTSUPP', errno.EOPNOTSUPP, 'PROBE_NOT_SUPPORTED'],
      ['ENOTTY', errno.ENOTTY, 'PROBE_NOT_SUPPORTED'],
    ])('names %s of IOMMU_GET_HW_INFO', async (_name, number, code) => {
      const { report } = await liveProbe(kit, { root }, [`reply vfio0 0 0 -1 ${number} - -`, ...table()]);
      expect(report.findings.map((item) => [item.subject, item.code])).toEqual([['0000:01:00.0', code]]);
    });

    test('names data type 0 with rc 0, and takes nothing from it but the capability bits', async () => {
      const struct = '2800000000000000010000000000000000000000000000000000000000000000' + '0800000000000000';
      const all = [...NAMES.values()].map((name) => `reply ${name} 0 0 0 0 ${struct} -`);
      const { report } = await liveProbe(kit, { root }, all);
      expect(new Set(report.findings.map((item) => item.code))).toEqual(new Set(['PROBE_HW_INFO_NONE']));
      expect(report.smmus[0]?.registers.known).toBe(false);
      expect(report.smmus[0]?.accel.known).toBe(false);
      expect(report.smmus[0]?.features.obstacles[0]?.code).toBe('HW_INFO_TYPE');
      expect(deviceIn(report, '0000:01:00.0').kernelAts).toMatchObject({
        known: true,
        value: 'not-supported',
      });
    });

    test('gives up a step at its time limit and goes on with the others', async () => {
      const { report } = await liveProbe(kit, { root, stepTimeoutMs: 2500 }, [
        'delay bind vfio0 6000',
        ...table(),
      ]);
      expect(report.findings.map((item) => [item.subject, item.code])).toEqual([
        ['0000:01:00.0', 'PROBE_TIMEOUT'],
      ]);
      expect(deviceIn(report, '0000:41:00.0').kernelAts.known).toBe(true);
    });

    test('need not be waited for: what was late is there the next time', async () => {
      const cachePath = join(kit.dir, 'patience');
      const slow = ['delay bind vfio0 9000', ...table()];
      const first = await liveProbe(kit, { root, cachePath, patienceMs: 4000 }, slow);
      expect(first.report.findings.map((item) => [item.subject, item.code])).toEqual([
        ['0000:01:00.0', 'PROBE_PENDING'],
      ]);
      expect(deviceIn(first.report, '0000:41:00.0').kernelAts.known).toBe(true);
      const second = await liveProbe(kit, { root, cachePath }, table());
      expect(second.calls).toEqual([]);
      expect(second.report.findings).toEqual([]);
      expect(deviceIn(second.report, '0000:01:00.0').kernelAts.known).toBe(true);
    });

    test('never binds a device that a process holds, nor one whose group mate is held', async () => {
      const held = mkdtempSync(join(tmpdir(), 'vsmmu-held-'));
      materialise(RECORDING, held);
      mkdirSync(join(held, 'proc/4711/fd'), { recursive: true });
      symlinkSync('/dev/vfio/devices/vfio0', join(held, 'proc/4711/fd/9'));
      symlinkSync('/dev/vfio/12', join(held, 'proc/4711/fd/10'));
      try {
        const { report, calls } = await liveProbe(kit, { root: held }, table());
        expect(calls).not.toContain('bind vfio0');
        expect(calls).not.toContain('bind vfio1');
        expect(calls).toContain('bind vfio2');
        const findings = report.findings.map((item) => [item.subject, item.code]);
        expect(findings).toEqual([
          ['0000:01:00.0', 'PROBE_IN_USE'],
          ['0000:02:00.0', 'PROBE_IN_USE'],
        ]);
        expect(report.findings[0]?.message).toContain('pid 4711 holds /dev/vfio/devices/vfio0');
        expect(report.smmus[0]?.registers.known).toBe(true);
      } finally {
        rmSync(held, { recursive: true, force: true });
      }
    });

    test('never binds a device that is handed out, which nobody may have opened yet', async () => {
      const { report, calls } = await liveProbe(kit, { root, handedOut: [11] }, table());
      expect(calls.filter((call) => call.endsWith(' vfio0'))).toEqual([]);
      expect(calls).toContain('bind vfio2');
      expect(report.findings.map(({ subject, code, message }) => [subject, code, message])).toEqual([
        ['0000:01:00.0', 'PROBE_IN_USE', expect.stringContaining('IOMMU group 11 is handed out') as unknown],
      ]);
      expect(report.smmus[0]?.registers.known).toBe(true);
    });

    test('says in the evidence who was looked for', async () => {
      const { report } = await liveProbe(kit, { root }, table());
      const { evidence } = deviceIn(report, '0000:01:00.0').kernelAts;
      expect(evidence.map((item) => item.source)).toContain(
        '/proc/*/fd for /dev/vfio/devices/vfio0, /dev/vfio/11',
      );
    });

    test('does not bind where it is told not to', async () => {
      const { report, calls } = await liveProbe(kit, { root, bind: false }, table());
      expect(calls).toEqual([]);
      expect(report.smmus[0]?.registers.known).toBe(false);
    });

    describe('what was asked since boot', () => {
      const asked = async (cachePath: string, more: readonly string[] = [], fresh = false) =>
        liveProbe(kit, { root, cachePath, fresh }, [...more, ...table()]);

      test('is not asked again: no device is reset twice', async () => {
        const cachePath = join(kit.dir, 'twice');
        const first = await asked(cachePath);
        const second = await asked(cachePath);
        expect(second.calls).toEqual([]);
        expect(answersOnly(second.report)).toEqual(answersOnly(first.report));
        expect(second.report.smmus[0]?.nesting).toMatchObject({ value: true });
        expect(second.report.smmus[0]?.registers.evidence[0]?.source).toBe(
          'IOMMU_GET_HW_INFO of 0000:01:00.0, cached',
        );
        const { evidence } = deviceIn(second.report, '0000:01:00.0').kernelAts;
        expect(evidence.at(-1)?.reading).toMatch(/^0000:01:00\.0 was asked at 20\d\d-.*Z, since boot$/);
        expect((await asked(cachePath, [], true)).calls).toContain('bind vfio0');
      });

      test('is not asked again by a probe that waited for the one that asked', async () => {
        const [cachePath, lockPath] = [join(kit.dir, 'waited'), join(kit.dir, 'waited.lock')];
        const options = { root, cachePath, lockPath, lockWaitMs: 20_000 };
        const first = startLiveProbe(kit, options, ['delay bind vfio0 1500', ...table()]);
        await first.called('bind vfio0');
        const second = await liveProbe(kit, options, table());
        expect(second.calls).toEqual([]);
        expect(second.report.findings).toEqual([]);
        expect((await first.done).calls).toContain('bind vfio6');
      });

      test('counts for nothing after a reboot, with another kernel, or damaged', async () => {
        const cachePath = join(kit.dir, 'reboot');
        await asked(cachePath);
        const text = readFileSync(cachePath, 'utf8');
        for (const other of [
          text.replace('"bootId":"5c1f9d0e', '"bootId":"00000000'),
          text.replace('"release":"7', '"release":"6'),
          text.replaceAll('"dataType":2', '"dataType":"two"'),
          text.slice(0, text.length / 2),
        ]) {
          expect(other).not.toBe(text);
          writeFileSync(cachePath, other);
          expect((await asked(cachePath)).calls).toContain('bind vfio0');
        }
      });

      test('still tells the registers of an SMMU behind which no device can be asked', async () => {
        const cachePath = join(kit.dir, 'busy');
        await asked(cachePath);
        const busy = [...NAMES.values()].map((name) => `fail bind ${name} ${errno.EINVAL}`);
        const { report } = await asked(cachePath, busy, true);
        expect(report.smmus[0]?.registers).toMatchObject({ known: true });
        expect(report.smmus[0]?.registers.evidence[0]?.source).toContain('cached');
        expect(deviceIn(report, '0000:01:00.0').kernelAts.known).toBe(false);
        expect(new Set(report.findings.map((item) => item.code))).toEqual(new Set(['PROBE_BUSY']));
      });
    });

    test('holds the lock while it asks', async () => {
      const lockPath = join(kit.dir, 'probe.lock');
      const probing = startLiveProbe(kit, { root, lockPath }, ['delay bind vfio0 3000', ...table()]);
      await probing.called('bind vfio0');
      expect(await takeProbeLock(lockPath, 0)).toMatchObject({ ok: false });
      expect((await probing.done).report.findings).toEqual([]);
      const free = await takeProbeLock(lockPath, 0);
      expect(free.ok).toBe(true);
      if (free.ok) await free.lock.release();
    });

    test('asks nothing while another probe holds the lock', async () => {
      const lockPath = join(kit.dir, 'held.lock');
      const held = await takeProbeLock(lockPath, 0);
      if (!held.ok) throw new Error(held.because);
      const { calls, report } = await liveProbe(kit, { root, lockPath, lockWaitMs: 0 }, table());
      await held.lock.release();
      expect(calls).toEqual([]);
      expect(new Set(report.findings.map((item) => item.code))).toEqual(new Set(['PROBE_LOCKED']));
    });

    test('a file system without locks is another reason than a held lock', async () => {
      const lockPath = join(kit.dir, 'no-locks');
      const { calls, report } = await liveProbe(kit, { root, lockPath }, [
        `fail flock lock ${errno.ENOLCK}`,
        ...table(),
      ]);
      expect(calls).toEqual([]);
      expect(report.findings[0]).toMatchObject({
        code: 'PROBE_LOCKED',
        message: expect.stringContaining('flock: ENOLCK') as unknown,
      });
    });

    test('a probe that is given up waits for the lock no longer', async () => {
      const lockPath = join(kit.dir, 'given-up.lock');
      const held = await takeProbeLock(lockPath, 0);
      if (!held.ok) throw new Error(held.because);
      const giveUp = new AbortController();
      const source = openLiveHost({ root, lockPath, lockWaitMs: 600_000, cachePath: join(kit.dir, 'none') });
      const probing = probeHost(source, { signal: giveUp.signal });
      setTimeout(() => giveUp.abort(), 200);
      await expect(probing).rejects.toMatchObject({ name: 'AbortError' });
      await source.close();
      await held.lock.release();
      const free = await takeProbeLock(lockPath, 0);
      expect(free.ok).toBe(true);
      if (free.ok) await free.lock.release();
    });

    test('an unwritable lock is a reason not to bind', async () => {
      writeFileSync(join(kit.dir, 'file'), '');
      const { calls, report } = await liveProbe(kit, { root, lockPath: join(kit.dir, 'file/lock') }, table());
      expect(calls).toEqual([]);
      expect(report.findings[0]).toMatchObject({ code: 'PROBE_LOCKED' });
    });
  });
