import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { resolveLine } from '../src/cli/commands/resolve-batch.js';
import { runProgram } from '../src/cli/program.js';
import { capturedIo } from './captured-io.js';

const grace = {
  bdf: '0009:01:00.0',
  smmu: 'smmu3.0x1',
  idr: [223090331, 41092368, 0, 5124, 0, 117],
  dataType: 2,
  capabilities: '0x1',
  kernelReportsAts: true,
  maxPasidLog2: 20,
  atsCapability: true,
  ats: 'auto',
  coldPlugged: true,
};
const allAuto = { accel: true, ats: 'auto', ril: 'auto', ssidsize: 'auto', oas: 'auto', cmdqv: 'off' };

async function batch(lines: string): Promise<{ status: number; answers: unknown[] }> {
  const io = capturedIo(lines);
  const status = await runProgram(['resolve', '--batch'], io);
  const text = io.out().trimEnd();
  return { status, answers: text === '' ? [] : text.split('\n').map((line): unknown => JSON.parse(line)) };
}

describe('vsmmu resolve --batch', () => {
  test('answers the documented line exactly', async () => {
    const { status, answers } = await batch(`${JSON.stringify({ vsmmu: allAuto, devices: [grace] })}\n`);
    expect(status).toBe(0);
    expect(answers).toEqual([
      {
        ok: true,
        vsmmu: { accel: 'on', ats: 'on', ril: 'on', ssidsize: 20, oas: 48, cmdqv: 'off', pasid: true },
        devices: [{ bdf: '0009:01:00.0', atsExposed: true, effectiveAts: 'yes' }],
      },
    ]);
  });

  test('goes on after lines it cannot read, one answer each, and says so in its exit status', async () => {
    const good = JSON.stringify({ vsmmu: allAuto, devices: [grace] });
    const { status, answers } = await batch(`garbage\n${good}\n\n[]\n{"vsmmu":{}}\n${good}`);
    expect(status).toBe(1);
    expect(answers.map((answer) => (answer as { ok: boolean }).ok)).toEqual([
      false,
      true,
      false,
      false,
      true,
    ]);
    expect(answers[0]).toMatchObject({ errors: [{ code: 'MALFORMED_REQUEST', remedy: expect.any(String) }] });
  });

  test.each<[string, object, string]>([
    ['a misspelt property', { vsmmu: { ...allAuto, ssidSize: 20 }, devices: [] }, 'ssidSize'],
    ['a BDF that is none', { vsmmu: allAuto, devices: [{ ...grace, bdf: '9:1:0' }] }, 'devices[0].bdf'],
    ['five IDR words', { vsmmu: allAuto, devices: [{ ...grace, idr: [1, 2, 3, 4, 5] }] }, 'devices[0].idr'],
    [
      'an SMMUv3 without IDR words',
      { vsmmu: allAuto, devices: [{ ...grace, idr: undefined }] },
      'devices[0].idr',
    ],
    ['a negative IDR word', { vsmmu: allAuto, devices: [{ ...grace, idr: [-1, 0, 0, 0, 0, 0] }] }, 'idr[0]'],
    ['one device twice', { vsmmu: allAuto, devices: [grace, grace] }, 'listed twice'],
    [
      'capabilities that are no number',
      { vsmmu: allAuto, devices: [{ ...grace, capabilities: 'x' }] },
      'capabilities',
    ],
  ])('%s is told with its place', (_name, request, place) => {
    const answer = resolveLine(JSON.stringify(request));
    expect(answer).toMatchObject({ ok: false, errors: [{ code: 'MALFORMED_REQUEST' }] });
    expect(JSON.stringify(answer)).toContain(place);
  });

  test('a set bit 3 counts even where the caller says that the kernel does not report ATS', () => {
    const answer = resolveLine(
      JSON.stringify({
        vsmmu: allAuto,
        devices: [{ ...grace, capabilities: '0x9', kernelReportsAts: false, ats: 'on' }],
      }),
    );
    expect(answer).toMatchObject({
      ok: false,
      errors: [{ code: 'DEVICE_ATS', bdf: grace.bdf, property: 'ats' }],
    });
  });

  test('whatever the line, there is one answer', () => {
    const line = fc.oneof(
      fc.string(),
      fc.json(),
      fc.json().map((text) => text.slice(0, -1)),
    );
    fc.assert(fc.property(line, (text) => typeof resolveLine(text).ok === 'boolean'));
  });

  test('a file that is not there fails with its name', async () => {
    const io = capturedIo();
    expect(await runProgram(['resolve', '--batch', '/nonexistent/batch.jsonl'], io)).toBe(3);
    expect(io.err()).toMatch(/error\[UNREADABLE_FILE\] at \/nonexistent\/batch\.jsonl.*\n {2}cause: ENOENT/);
    expect(io.out()).toBe('');
  });

  test('reads a file', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'vsmmu-')), 'batch.jsonl');
    await writeFile(file, `${JSON.stringify({ vsmmu: allAuto, devices: [grace] })}\n`);
    const io = capturedIo();
    expect(await runProgram(['resolve', '--batch', file], io)).toBe(0);
    expect(io.out()).toContain('"ok":true');
  });
});

describe('the command line', () => {
  test('an unknown command is a usage error with a suggestion', async () => {
    const io = capturedIo();
    expect(await runProgram(['reslove'], io)).toBe(2);
    expect(io.err()).toContain('Did you mean resolve?');
  });

  test('an unknown flag is a usage error with a suggestion', async () => {
    const io = capturedIo();
    expect(await runProgram(['resolve', '--bacth'], io)).toBe(2);
    expect(io.err()).toContain('Did you mean --batch?');
  });

  test('help goes to standard output and is no error', async () => {
    const io = capturedIo();
    expect(await runProgram(['--help'], io)).toBe(0);
    expect(io.out()).toContain('Exit status: 0 ok, 1 findings, 2 usage, 3 unreachable or failed.');
  });
});
