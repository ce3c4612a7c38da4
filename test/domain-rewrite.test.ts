import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from '@jest/globals';

import { runProgram } from '../src/cli/program.js';
import { capturedIo } from './captured-io.js';
import { oneGpu } from './fixtures/domain/documents.js';
import { sharedData } from './shared-data.js';

const GRACE_HOST = 'test/fixtures/hosts/grace-2gpu';
const DRIVER = "<driver pciBus='1' accel='on'/>";
const RESOLVED = "<driver pciBus='1' accel='on' cmdqv='on' ats='on' ril='on' ssidsize='20' oas='48'/>";

async function rewrite(text: string, ...options: readonly string[]) {
  return run(text, '-', ...options);
}

async function run(stdin: string, ...args: readonly string[]) {
  const io = capturedIo(stdin);
  const status = await runProgram(['rewrite', ...args, '--host', GRACE_HOST], io);
  return { status, out: io.out(), err: io.err() };
}

describe('vsmmu rewrite', () => {
  test('resolves a domain from standard input for a recorded host', async () => {
    const { status, out, err } = await rewrite(oneGpu());
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toContain(RESOLVED);
    expect(out).toContain("<qemu:property name='ats' type='string' value='on'/>");
    expect(await rewrite(out)).toEqual({ status: 0, out, err: '' });
  });

  test('a file, byte for byte but for the changes', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'vsmmu-')), 'vm.xml');
    const text = `\uFEFF${oneGpu().replaceAll('\n', '\r\n')}`;
    writeFileSync(file, text);
    const { out } = await run('', file, '--no-vfio-ats');
    expect(out).toBe(text.replace(DRIVER, RESOLVED));
  });

  test('--diff', async () => {
    const { out } = await rewrite(oneGpu(), '--diff', '--no-vfio-ats');
    expect(out).toMatch(/^--- standard input\n\+\+\+ rewritten\n@@ -\d+,7 \+\d+,7 @@\n/);
    expect(out).toContain(`\n-      ${DRIVER}\n+      ${RESOLVED}\n`);
  });

  test('--explain', async () => {
    const { out } = await rewrite(oneGpu(), '--explain');
    expect(out).toMatch(/^SUBJECT +PROPERTY +WAS +ASKED +RESOLVED +WRITTEN +RULE +EVIDENCE\n/);
    expect(out).toMatch(
      /\niommu0 +ssidsize +- +auto +20 .*IDR1\.SSIDSIZE=20, smmu3\.0x0000000011000000 of 0009:01:00\.0/,
    );
    expect(out).toMatch(/\n0009:01:00\.0 +ats +- +auto +on .*kernel reports ATS as supported/);
  });

  test('-o json', async () => {
    const { out } = await rewrite(oneGpu(), '-o', 'json');
    expect(JSON.parse(out)).toMatchObject({
      changed: true,
      decisions: expect.arrayContaining([
        expect.objectContaining({ property: 'oas', resolved: '48' }),
      ]) as unknown,
      xml: expect.stringContaining(RESOLVED) as unknown,
    });
  });

  test('--existing keep', async () => {
    const text = oneGpu({ driver: "<driver pciBus='1' accel='on' ats='off' oas='44'/>" });
    const { out } = await rewrite(text, '--existing', 'keep');
    expect(out).toContain(
      "<driver pciBus='1' accel='on' cmdqv='on' ats='off' ril='on' ssidsize='20' oas='44'/>",
    );
  });

  test.each([
    ['not well-formed', '<domain>', 3, /^error\[XML_MALFORMED\] at standard input:1:\d+: .*\n {2}remedy: /],
    ['no domain', '<pool/>', 3, /^error\[NOT_A_DOMAIN\] at standard input:1:1: /],
    ['a DOCTYPE', '<!DOCTYPE domain><domain/>', 3, /^error\[XML_DOCTYPE\] at standard input:1:/],
    [
      'an unknown hostdev',
      oneGpu().replace('0x0009', '0x0007'),
      1,
      /^error\[HOSTDEV_UNKNOWN\] at standard input:\d+:\d+: ua-gpu0 is host device 0007:01:00\.0/,
    ],
  ])('refused without output: %s', async (_, text, expected, message) => {
    const { status, out, err } = await rewrite(text);
    expect({ status, out }).toEqual({ status: expected, out: '' });
    expect(err).toMatch(message);
  });

  test('a missing file', async () => {
    const { status, err } = await run('', '/nonexistent.xml');
    expect(status).toBe(3);
    expect(err).toContain('error[UNREADABLE_FILE] at /nonexistent.xml');
  });

  test('broken UTF-8 is refused, not repaired', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'vsmmu-')), 'vm.xml');
    writeFileSync(
      file,
      Buffer.from([...Buffer.from('<domain><name>'), 0xff, ...Buffer.from('</name></domain>')]),
    );
    expect(await run('', file)).toMatchObject({ status: 3, out: '' });
  });

  test('--diff and --explain exclude each other', async () => {
    expect((await rewrite(oneGpu(), '--diff', '--explain')).status).toBe(2);
  });
});

describe("KubeVirt's Grace domains", () => {
  const grace = existsSync(sharedData('kubevirt')) ? test.each : test.skip.each;
  grace([
    ['grace-1gpu.domain.xml', 1],
    ['grace-2gpu.domain.xml', 2],
  ] as const)('%s is resolved (needs the shared KubeVirt domains)', async (name, gpus) => {
    const text = readFileSync(sharedData('kubevirt', name), 'utf8');
    const { status, out } = await rewrite(text);
    expect(status).toBe(0);
    const count = (pattern: RegExp) => out.match(pattern)?.length ?? 0;
    expect(count(/accel="on" cmdqv="on" ats="on" ril="on" ssidsize="20" oas="48"/g)).toBe(gpus);
    expect(count(/ssidSize/g)).toBe(0);
    expect(count(/<qemu:property name="ats" type="string" value="on"\/>/g)).toBe(gpus);
    expect((await rewrite(out)).out).toBe(out);
  });
});
