import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatBdf } from '../bdf.js';
import { PciCdiSpec, type NodesOfDevice } from './pci-cdi-spec.js';

let dir: string;
const file = () => join(dir, 'cdi/vsmmu.io-pci.json');
const nodes = (...buses: number[]): NodesOfDevice =>
  new Map(buses.map((bus) => [formatBdf(0, bus, 0, 0)!, ['/dev/vfio/vfio', `/dev/vfio/${bus}`]]));
const written = () => {
  const { devices } = JSON.parse(readFileSync(file(), 'utf8')) as { devices: { name: string }[] };
  return devices.map(({ name }) => name);
};

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('keeps what an earlier agent wrote: a container that has it may be started again', () => {
  new PciCdiSpec(join(dir, 'cdi')).put(nodes(1, 2));
  new PciCdiSpec(join(dir, 'cdi')).put(nodes(3));
  expect(written()).toEqual(['0000:01:00.0', '0000:02:00.0', '0000:03:00.0']);
});

test('is written only for a change', () => {
  const spec = new PciCdiSpec(join(dir, 'cdi'));
  spec.put(nodes(1, 2));
  const before = statSync(file()).ino;
  spec.put(nodes(2));
  expect(statSync(file()).ino).toBe(before);
  spec.put(new Map([[formatBdf(0, 2, 0, 0)!, ['/dev/vfio/7']]]));
  expect(statSync(file()).ino).not.toBe(before);
});

test('that could not be written is written by the next try', () => {
  writeFileSync(join(dir, 'cdi'), 'in the way');
  const spec = new PciCdiSpec(join(dir, 'cdi'));
  expect(() => spec.put(nodes(1))).toThrow(expect.objectContaining({ code: 'CDI_UNWRITABLE' }));
  rmSync(join(dir, 'cdi'));
  spec.put(nodes(1));
  expect(written()).toEqual(['0000:01:00.0']);
});

test.each(['', '{', '[]', '{"devices":[7,{"name":"x"},{"name":"0000:01:00.0"}]}'])(
  'a file with %p in it is written anew',
  (text) => {
    new PciCdiSpec(join(dir, 'cdi')).put(nodes(9));
    writeFileSync(file(), text);
    chmodSync(file(), 0o644);
    new PciCdiSpec(join(dir, 'cdi')).put(nodes(1));
    expect(written()).toContain('0000:01:00.0');
    expect(existsSync(`${file()}.damaged`)).toBe(false);
  },
);

test('is written again where someone removed it', () => {
  const spec = new PciCdiSpec(join(dir, 'cdi'));
  spec.put(nodes(1, 2));
  rmSync(file());
  spec.put(nodes(1));
  expect(written()).toEqual(['0000:01:00.0', '0000:02:00.0']);
});

test('is readable for a runtime of another user, whatever the umask', () => {
  const before = process.umask(0o077);
  try {
    new PciCdiSpec(join(dir, 'cdi')).put(nodes(1));
  } finally {
    process.umask(before);
  }
  expect(statSync(file()).mode & 0o777).toBe(0o644);
});

test('of no device there is none: a runtime refuses a specification without devices', () => {
  new PciCdiSpec(join(dir, 'cdi')).put(nodes());
  expect(existsSync(file())).toBe(false);
});
