import assert from 'node:assert/strict';

import { parseIort } from '../../src/host/firmware-ats.js';
import { succeeded } from '../../src/host/host-source.js';
import { readCapabilities, serialNumberAt, type PciCapabilities } from '../../src/host/pci-capabilities.js';
import { parsePciConfigRecording } from '../../src/host/pci-config-recording.js';
import type { Answer } from '../../src/smmu/answer.js';
import { Input } from './input.js';

const CAPABILITIES = { ats: 0x0f, pri: 0x13, sriov: 0x10 } as const;

/**
 * A function's config space, or firmware's IORT: nothing is told that does not stand in the bytes; what the beginning
 * of a config space tells, the whole tells too; and lspci's print of it is read back as the same bytes.
 */
export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const kind = input.pick(['config space', 'IORT'] as const);
  if (kind === 'IORT') {
    fuzzIort(input.rest());
    return;
  }
  const cut = input.number() * 16;
  const damagedRow = input.number();
  const bytes = input.take(4096);
  const whole = read(bytes);
  expectInBytes(whole, bytes);
  // A function of 256 bytes without PCI Express ends there, and no kernel reads more of it (pci_cfg_space_size()).
  if (cut !== 256) expectKept(read(bytes.subarray(0, cut)), whole);
  expectPrinted(bytes, damagedRow);
}

function read(bytes: Uint8Array): PciCapabilities {
  return readCapabilities(succeeded(bytes), 'config space');
}

/** Every capability that is said to be there is found at its place again, by a reader of its own. */
function expectInBytes(told: PciCapabilities, bytes: Uint8Array): void {
  const buffer = Buffer.from(bytes);
  for (const [name, id] of Object.entries(CAPABILITIES)) {
    const answer = told[name as keyof typeof CAPABILITIES];
    if (answer.known && answer.value) assert.equal(buffer.readUInt16LE(placeOf(answer)), id, name);
  }
  if (told.pasid.known && told.pasid.value !== null) {
    const at = placeOf(told.pasid);
    assert.equal(buffer.readUInt16LE(at - (at % 4)), 0x1b);
    assert.equal(told.pasid.value.maxWidth, (buffer.readUInt16LE(at + 4) >> 8) & 0x1f);
  }
  const serial = serialNumberAt(bytes);
  if (serial !== undefined) assert.equal(buffer.readUInt16LE(serial - 4), 0x03);
}

function placeOf({ evidence }: Answer<unknown>): number {
  const at = /at 0x([0-9a-f]+)/.exec(evidence[0]?.reading ?? '')?.[1];
  assert.ok(at !== undefined, 'the evidence names the place');
  return parseInt(at, 16);
}

function expectKept(part: PciCapabilities, whole: PciCapabilities): void {
  for (const name of ['ats', 'pri', 'sriov', 'pasid'] as const) {
    const before = part[name];
    if (before.known) assert.deepEqual(valueOf<unknown>(whole[name]), before.value, `${name} is kept`);
  }
}

function valueOf<T>(answer: Answer<T>): T | undefined {
  return answer.known ? answer.value : undefined;
}

/** As lspci -xxxx prints it, with one row damaged where there is such a row: the bytes before it are read. */
function expectPrinted(bytes: Uint8Array, damagedRow: number): void {
  const rows: string[] = [];
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
    rows.push(`${at.toString(16).padStart(2, '0')}: ${row.join(' ')}`);
  }
  const damaged = damagedRow < rows.length;
  if (damaged) rows[damagedRow] = `${rows[damagedRow] ?? ''} zz`;
  const { configs, damaged: findings } = parsePciConfigRecording(`0000:01:00.0 x\n${rows.join('\n')}\n`);
  const [config = new Uint8Array()] = configs.values();
  const expected = bytes.subarray(0, 16 * (damaged ? damagedRow : rows.length));
  assert.deepEqual(Buffer.from(config), Buffer.from(expected));
  assert.equal(findings.length, damaged ? 1 : 0);
}

/** Each segment that is told stands in the table, with the attribute that is told of it. */
function fuzzIort(bytes: Uint8Array): void {
  const table = parseIort(bytes);
  if (typeof table === 'string') return;
  const buffer = Buffer.from(bytes);
  for (const [segment, ats] of table) {
    let found = false;
    for (let at = 40; at + 32 <= buffer.length && !found; at += 1)
      found =
        buffer[at] === 2 &&
        buffer.readUInt32LE(at + 28) === segment &&
        ((buffer[at + 24] ?? 0) & 1) === Number(ats);
    assert.ok(found, `segment ${segment} stands in the table`);
  }
}
