import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { runRecord } from '../src/cli/commands/record.js';
import { failed, withHwInfo } from '../src/host/host-source.js';
import { openLiveHost } from '../src/host/live-host.js';
import { probeHost } from '../src/host/probe.js';
import { redactCommandLine } from '../src/host/record-sysfs.js';
import { recordHost } from '../src/host/record.js';
import { openRecording } from '../src/host/recording.js';
import type { HostReport } from '../src/host/report.js';
import { capturedIo } from './captured-io.js';
import { sharedData } from './shared-data.js';
import { materialise } from './shim/recorded-root.js';

const GRACE = resolve('test/fixtures/hosts/grace-2gpu');
const DIRS: string[] = [];
let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-record-'));
  DIRS.push(dir);
});
afterAll(() => {
  for (const name of DIRS) rmSync(name, { recursive: true, force: true });
});

const probe = async (recording: string) => probeHost(await openRecording(recording));

/**
 * All that a report says, but for what a new recording may say in other words: the names of the recording, why
 * something that was not recorded is not known, and the command line.
 */
function comparable(report: HostReport): unknown {
  const spoken = new Set(['origin', 'because', 'remedy', 'commandLine', 'findings']);
  return JSON.parse(JSON.stringify(report, (key, value: unknown) => (spoken.has(key) ? undefined : value)));
}

describe('a recording of a recording says the same', () => {
  test.each(
    [
      ['the synthetic host with two Grace GPUs', GRACE],
      ['linux-7.1-acpi-pxb', sharedData('hosts', 'linux-7.1-acpi-pxb')],
      ['linux-6.12-no-iommufd', sharedData('hosts', 'linux-6.12-no-iommufd')],
      ['linux-7.1-idr-ats', sharedData('hosts', 'linux-7.1-idr-ats')],
    ].filter(([, path]) => existsSync(path ?? '')),
  )('%s', async (_name, recording) => {
    const copy = join(dir, 'copy');
    await recordHost(await openRecording(recording), copy);
    const [before, after] = [await probe(recording), await probe(copy)];
    expect(comparable(after)).toEqual(comparable(before));
    expect(after.findings.filter(({ code }) => code === 'RECORDING_DAMAGED')).toEqual([]);
  });
  for (const name of ['linux-7.1-acpi-pxb', 'linux-6.12-no-iommufd', 'linux-7.1-idr-ats'])
    if (!existsSync(sharedData('hosts', name)))
      test.skip(`${name} needs the shared recordings`, () => undefined);
});

const LIVE = sharedData('hosts', 'linux-6.12-no-iommufd');
const liveTest = existsSync(LIVE) ? test : test.skip;
liveTest('a live host and its recording say the same (needs the shared recordings)', async () => {
  const recording = LIVE;
  const root = join(dir, 'root');
  materialise(recording, root);
  await recordHost(openLiveHost({ root }), join(dir, 'copy'));
  const live = await probeHost(openLiveHost({ root }));
  expect(comparable(await probe(join(dir, 'copy')))).toEqual(comparable(live));
});

test('serial numbers stay at home', async () => {
  const config = Buffer.alloc(4096);
  config.writeUInt16LE(0x8086, 0);
  config.writeUInt32LE((0x140 << 20) | 0x1000f, 0x100);
  config.writeUInt32LE(0x10003, 0x140);
  config.write('SECRET!!', 0x144);
  const rows = Array.from({ length: 256 }, (_, n) => {
    const bytes = [...config.subarray(n * 16, n * 16 + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
    return `${(n * 16).toString(16).padStart(2, '0')}: ${bytes.join(' ')}\n`;
  });
  const source = join(dir, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'pci-config.txt'), `0000:01:00.0 x\n${rows.join('')}`);
  writeFileSync(
    join(source, 'sysfs.txt'),
    [
      '# Linux version 7.1.0',
      '# cmdline root=UUID=1234 iommu.passthrough=0 password=hunter2 quiet',
      'L /sys/bus/pci/devices/0000:01:00.0 -> ../../../devices/pci0000:00/0000:01:00.0',
      'F /sys/devices/pci0000:00/0000:01:00.0/serial_number mode=400 = "52-54-00\\n"',
      '',
    ].join('\n'),
  );
  await recordHost(await openRecording(source), join(dir, 'copy'));
  const text = readdirSync(join(dir, 'copy'))
    .map((name) => readFileSync(join(dir, 'copy', name), 'utf8'))
    .join('');
  for (const secret of [
    '52-54-00',
    'hunter2',
    '1234',
    Buffer.from('SECRET').toString('hex').match(/../g)!.join(' '),
  ])
    expect(text).not.toContain(secret);
  expect((await probe(join(dir, 'copy'))).devices[0]?.atsCapability).toMatchObject({ value: true });
});

test.each([
  ['iommu.passthrough=1 root=/dev/sda1 quiet', 'iommu.passthrough=1 root=(redacted) quiet'],
  ['pci=noats,nocrs ip=10.0.0.1::', 'pci=noats,nocrs ip=(redacted)'],
  ['token="one two three" quiet', 'token=(redacted) quiet'],
  ['"token=one two" pci="noats" quiet', 'token=(redacted) pci="noats" quiet'],
])('command line "%s"', (line, redacted) => {
  expect(redactCommandLine(line)).toBe(redacted);
});

test('a recording that was cut short at the end of a line shows', async () => {
  await recordHost(await openRecording(GRACE), join(dir, 'copy'));
  const file = join(dir, 'copy', 'sysfs.txt');
  const lines = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, `${lines.slice(0, lines.length / 2).join('\n')}\n`);
  const { findings } = await probe(join(dir, 'copy'));
  expect(findings[0]?.message).toContain('the file ends before its last line');
});

describe('vsmmu record', () => {
  test('names the folder on stdout and what it holds on stderr', async () => {
    const io = capturedIo();
    expect(await runRecord(join(dir, 'out'), { host: GRACE, bind: false }, io)).toBe(0);
    expect(io.out()).toBe(`${join(dir, 'out')}\n`);
    expect(io.err()).toContain('2 answers of the kernel');
    expect(readdirSync(dir)).toEqual(['out']);
  });

  test('never writes over what is there', async () => {
    await expect(runRecord(dir, { host: GRACE, bind: false }, capturedIo())).rejects.toMatchObject({
      code: 'UNWRITABLE_FILE',
      exitStatus: 2,
    });
  });

  test('leaves nothing behind where it cannot write', async () => {
    writeFileSync(join(dir, 'file'), '');
    const out = join(dir, 'file', 'out');
    await expect(runRecord(out, { host: GRACE, bind: false }, capturedIo())).rejects.toMatchObject({
      code: 'UNWRITABLE_FILE',
    });
    expect(readdirSync(dir)).toEqual(['file']);
  });
});

test('what could not be read is unknown in the recording too, not absent', async () => {
  const host = await openRecording(GRACE);
  const [device] = (await probe(GRACE)).devices;
  const refused = (path: string) =>
    path.endsWith('/IORT') || path === `/sys/bus/pci/devices/${device?.bdf ?? ''}/numa_node`;
  const eacces = (path: string) => failed<never>('EACCES', `${path}: EACCES`);
  const source = {
    ...withHwInfo(host, (target) => host.hwInfo(target)),
    readText: (path: string) => (refused(path) ? eacces(path) : host.readText(path)),
    readBytes: (path: string) => (refused(path) ? eacces(path) : host.readBytes(path)),
  };
  await recordHost(source, join(dir, 'copy'));
  const [again] = (await probe(join(dir, 'copy'))).devices;
  expect(again?.numaNode).toMatchObject({
    known: false,
    because: expect.stringContaining('could not be read when it was recorded'),
  });
  expect(again?.firmwareAts).toMatchObject({
    known: false,
    because: expect.stringContaining('IORT was there, but could not be read when it was recorded'),
  });
});
