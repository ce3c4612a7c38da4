import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProbeWatch } from '../src/cli/commands/probe-watch.js';
import { fingerprint } from '../src/host/fingerprint.js';
import { FolderHints, type HintSource } from '../src/host/hints.js';
import { openLiveHost } from '../src/host/live-host.js';
import { probeHost } from '../src/host/probe.js';
import { diffReports } from '../src/host/report-diff.js';
import { UeventHints, ueventConcerns } from '../src/host/uevents.js';
import { watchHost, type HostUpdate } from '../src/host/watch.js';
import { capturedIo } from './captured-io.js';
import {
  generateFunctions,
  generatedTree,
  writeTree,
  type GeneratedFunction,
} from './shim/generated-host.js';

/** A hint when the test says so. */
class Doorbell implements HintSource {
  looks = 0;
  #hint: (origin: string) => void = () => undefined;
  listen(hint: (origin: string) => void): void {
    this.#hint = hint;
  }
  close(): void {
    this.#hint = () => undefined;
  }
  ring(): void {
    this.#hint('test');
  }
}

let root: string;
let functions: readonly GeneratedFunction[];
let aborter: AbortController;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vsmmu-watch-'));
  functions = generateFunctions(8);
  writeTree(root, generatedTree(functions));
  aborter = new AbortController();
});
afterEach(() => {
  aborter.abort();
  rmSync(root, { recursive: true, force: true });
});

const of = (n: number): GeneratedFunction => functions[n]!;

/** What the kernel does when function `n` changes its driver. */
function rebind(n: number, driver: string | undefined): void {
  const { home, vfioName = `vfio${n}` } = of(n);
  const link = join(root, home, 'driver');
  rmSync(link, { force: true });
  if (driver !== undefined) symlinkSync(`../../../bus/pci/drivers/${driver}`, link);
  const vfio = driver === 'vfio-pci';
  rmSync(join(root, home, 'vfio-dev'), { recursive: true, force: true });
  if (vfio) mkdirSync(join(root, home, 'vfio-dev', vfioName), { recursive: true });
  const node = join(root, 'dev/vfio/devices', vfioName);
  if (vfio) writeFileSync(node, '');
  else rmSync(node, { force: true });
}

function unplug(n: number): void {
  rmSync(join(root, '/sys/bus/pci/devices', of(n).bdf));
  rebind(n, undefined);
}

function watchRoot(hints: readonly HintSource[]) {
  const source = openLiveHost({ root, bind: false });
  let scans = 0;
  const updates = watchHost({
    source,
    hints,
    signal: aborter.signal,
    settleMs: 20,
    rescanMs: 3_600_000,
    scan: (signal) => {
      scans += 1;
      return probeHost(source, { signal });
    },
  });
  return {
    scans: () => scans,
    next: async (): Promise<HostUpdate> => {
      const { value } = await updates.next();
      if (value === undefined) throw new Error('the watch ended');
      return value;
    },
  };
}

describe('watching a host', () => {
  test('tells what was bound, unbound, plugged and unplugged, with what changed', async () => {
    const bell = new Doorbell();
    const watch = watchRoot([bell]);
    expect((await watch.next()).changes).toEqual([]);

    rebind(1, 'vfio-pci');
    rebind(2, undefined);
    unplug(4);
    bell.ring();
    const { changes } = await watch.next();
    expect(changes.map(({ bdf, kind }) => [bdf, kind])).toEqual([
      [of(1).bdf, 'changed'],
      [of(2).bdf, 'changed'],
      [of(4).bdf, 'removed'],
    ]);
    expect(changes[0]).toMatchObject({
      fields: expect.arrayContaining([
        { name: 'driver', from: 'nvme', to: 'vfio-pci' },
        { name: 'ready', from: false, to: true },
        { name: 'cdev', from: 'unknown', to: '/dev/vfio/devices/vfio1' },
      ]),
    });
  });

  test('many hints are one look, and a look at an unchanged host is no scan', async () => {
    const bell = new Doorbell();
    const watch = watchRoot([bell]);
    await watch.next();
    for (let i = 0; i < 50; i += 1) bell.ring();
    const next = watch.next();
    for (let i = 0; i < 50; i += 1) bell.ring();
    rebind(0, undefined);
    bell.ring();
    expect((await next).changes).toHaveLength(1);
    expect(watch.scans()).toBe(2);
  });

  test('sees nodes come and go by inotify alone', async () => {
    const watch = watchRoot([new FolderHints([join(root, 'dev/vfio'), join(root, 'dev/vfio/devices')])]);
    await watch.next();
    rebind(3, 'vfio-pci');
    expect((await watch.next()).changes.map(({ bdf }) => bdf)).toEqual([of(3).bdf]);
    rebind(3, 'nvme');
    expect((await watch.next()).changes.map(({ bdf }) => bdf)).toEqual([of(3).bdf]);
  });

  test('sees nodes in a folder that was made anew', async () => {
    const [dir, away] = [join(root, 'dev/vfio/devices'), join(root, 'dev/vfio/gone')];
    const watch = watchRoot([new FolderHints([join(root, 'dev/vfio'), dir])]);
    await watch.next();
    renameSync(dir, away);
    expect((await watch.next()).changes.length).toBeGreaterThan(0);
    mkdirSync(dir);
    for (const name of readdirSync(away)) writeFileSync(join(dir, name), '');
    let ready = 0;
    while (ready < 4) {
      const { report } = await watch.next();
      ready = report.devices.filter(({ cdev }) => cdev.known).length;
    }
    rebind(5, 'vfio-pci');
    expect((await watch.next()).changes.map(({ bdf }) => bdf)).toEqual([of(5).bdf]);
  });

  test('ends quietly when it is told to amid a scan', async () => {
    const source = openLiveHost({ root, bind: false });
    const updates = watchHost({
      source,
      hints: [],
      signal: aborter.signal,
      scan: (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped')))),
    });
    const next = updates.next();
    aborter.abort();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  test('vsmmu probe --watch: starts, and ends with 0 on an interrupt; a recording never changes', async () => {
    const io = capturedIo('', { signal: aborter.signal });
    const ended = runProbeWatch({ output: 'json' }, io);
    while (io.err() === '') await new Promise((done) => setImmediate(done));
    expect(io.err()).toMatch(/^watching \d+ functions\n$/);
    aborter.abort();
    expect(await ended).toBe(0);
    await expect(runProbeWatch({ host: root, output: 'json' }, capturedIo())).rejects.toMatchObject({
      code: 'USAGE',
    });
  });

  test('ends when it is told to', async () => {
    const watch = watchRoot([new Doorbell()]);
    await watch.next();
    const next = watch.next();
    aborter.abort();
    await expect(next).rejects.toThrow('the watch ended');
  });
});

test('a fingerprint changes with a driver, a node and a function, and with nothing else', () => {
  const source = openLiveHost({ root, bind: false });
  const first = fingerprint(source);
  writeFileSync(join(root, of(0).home, 'numa_node'), '3\n');
  expect(fingerprint(source)).toBe(first);
  const seen = [first];
  const changes: readonly (() => void)[] = [
    () => rebind(1, 'vfio-pci'),
    () => rebind(1, undefined),
    () => unplug(2),
    () => writeFileSync(join(root, 'dev/vfio/12'), ''),
  ];
  for (const change of changes) {
    change();
    const next = fingerprint(source);
    expect(seen).not.toContain(next);
    seen.push(next);
  }
});

test('two reports of one host do not differ', async () => {
  const source = openLiveHost({ root, bind: false });
  expect(diffReports(await probeHost(source), await probeHost(source))).toEqual([]);
});

describe('uevents', () => {
  const message = (...fields: readonly string[]) => Buffer.from(`${fields.join('\0')}\0`);
  test.each([
    ['pci', true],
    ['vfio-dev', true],
    ['net', false],
    ['pci_bus', false],
  ])('of subsystem %s: %s', (subsystem, concerns) => {
    const bytes = message('bind@/devices/pci0000:00/0000:00:01.0', 'ACTION=bind', `SUBSYSTEM=${subsystem}`);
    expect(ueventConcerns(bytes)).toBe(concerns);
  });

  test.each([[''], ['SUBSYSTEM'], ['\0\0\0']])('garbage is no event: %j', (text) => {
    expect(ueventConcerns(Buffer.from(text))).toBe(false);
  });

  const trigger = firstWritableUevent();
  const real = trigger === undefined ? test.skip : test;
  real('of this kernel arrive (needs root and a PCI function to announce again)', async () => {
    const hints = await UeventHints.open();
    if (hints === undefined) throw new Error('the kernel gave no netlink socket');
    const arrived = new Promise<string>((done) => hints.listen(done));
    writeFileSync(trigger ?? '', 'change');
    expect(await arrived).toBe('uevent');
    hints.close();
  });
});

/** Writing "change" there makes the kernel announce the function again, which harms nothing. */
function firstWritableUevent(): string | undefined {
  const devices = '/sys/bus/pci/devices';
  if (!existsSync(devices)) return undefined;
  return readdirSync(devices)
    .map((name) => join(devices, name, 'uevent'))
    .find((path) => {
      try {
        accessSync(path, constants.W_OK);
        return process.getuid?.() === 0;
      } catch {
        return false;
      }
    });
}
