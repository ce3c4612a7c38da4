import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { valuesOf } from './report.mjs';

/** IDR0..IDR5 of QEMU 11.1's emulated SMMUv3 (hw/arm/smmuv3.c, smmuv3_init_id_regs), as its guest reads them. */
const STAGE_1 = [0x0d44101a, 0x02730010, 0, 0x1404, 0, 0x74];

/** @param expected result by code: for a code with several subjects, of each of them */
export function checkDoctor({ categories }, expected) {
  const results = categories.flatMap(({ checks }) => checks).filter(({ code }) => code in expected);
  assert.deepEqual(new Set(results.map(({ code }) => code)), new Set(Object.keys(expected)));
  for (const { code, result, evidence } of results)
    assert.equal(result, expected[code], `${code}: ${evidence}`);
}

export function checkSilent(probe, { truth, atsFirmware }) {
  for (const smmu of probe.smmus) {
    for (const property of ['registers', 'accel', 'cmdqv'])
      assertUnknown(smmu[property], /\/dev\/(iommu|vfio)/);
  }
  for (const device of probe.devices.filter(({ driver }) => driver === 'vfio-pci')) {
    assertUnknown(device.kernelAts, /./);
    assertUnknown(device.cdev, /does not exist although sysfs has vfio\d/);
    // Where the device lacks the capability, or the firmware denies ATS, no kernel is needed; else nobody can tell.
    if (atsFirmware && truth[device.bdf].endsWith('ATS')) assertUnknown(device.effectiveAts, /./);
    else assert.equal(device.effectiveAts.value, false);
  }
}

function assertUnknown(answer, because) {
  assert.equal(answer.known, false, JSON.stringify(answer));
  assert.match(answer.because, because);
}

export function checkHwInfo(probe, { truth }) {
  assert.deepEqual(
    probe.kernel.reportsAts.value,
    true,
    'bit 3 is set for devices without ATS, so this kernel knows it',
  );
  for (const smmu of probe.smmus) assert.equal(smmu.registers.known, true, JSON.stringify(smmu.registers));
  const [first, second, nested] = probe.smmus.map(({ registers }) => registers.value.words);
  assert.deepEqual(first, STAGE_1);
  assert.deepEqual(second, STAGE_1);
  // stage=nested turns IDR0.S2P (bit 0) on, and nothing else of what is compared here.
  assert.equal(nested[0], STAGE_1[0] | 1);
  for (const device of probe.devices.filter(({ driver }) => driver === 'vfio-pci')) {
    assert.equal(device.kernelAts.value, 'not-supported', `${device.bdf}: no emulated SMMU has ATS`);
    assert.equal(device.atsCapability.value, truth[device.bdf].endsWith('ATS'));
    assert.equal(device.effectiveAts.value, false);
    assert.equal(device.maxPasidLog2.value, 0);
    assert.match(device.cdev.value, /^\/dev\/vfio\/devices\/vfio\d+$/);
  }
}

export function checkHeld(report, bdf, dmesg) {
  const device = report.devices.find((each) => each.bdf === bdf);
  assertUnknown(device.kernelAts, /in use|busy|open/);
  const smmu = report.smmus.find(({ name }) => name === device.smmu.value);
  assert.equal(smmu.registers.known, true);
  assert.ok(!JSON.stringify(smmu.registers.evidence).includes(bdf));
  const resets = dmesg.match(new RegExp(`${bdf}: resetting`, 'g')) ?? [];
  assert.equal(resets.length, 1, 'only the probe before it was held has reset it');
}

export function checkCached(report, before, bdf) {
  const [now, then] = [report, before].map(
    ({ devices }) => devices.find((each) => each.bdf === bdf).kernelAts,
  );
  assert.equal(now.value, then.value);
  assert.match(JSON.stringify(now.evidence), /cached/);
}

export function checkUnprivileged(report, privileged) {
  const identity = ({ devices }) =>
    devices.map(({ bdf, vendor, device, driver, smmu, groupMates }) => [
      bdf,
      vendor,
      device,
      driver,
      smmu.value,
      groupMates,
    ]);
  assert.deepEqual(identity(report), identity(privileged));
  for (const smmu of report.smmus) assertUnknown(smmu.registers, /EACCES|permission|privilege|root/i);
  for (const device of report.devices.filter(({ driver }) => driver === 'vfio-pci')) {
    // Without CAP_SYS_ADMIN sysfs gives the first 64 bytes of config space: no capability can be ruled out.
    assertUnknown(device.atsCapability, /64/);
    assertUnknown(device.kernelAts, /EACCES|permission|privilege|root/i);
  }
}

/** What init.sh does one after the other, each with the text it waits for: see there. */
const CHANGES = ['unbind', 'bind', 'no-vfs', 'unplug', 'plug'];

export async function checkWatch(ctx, folder) {
  const [told, done, complaint] = await Promise.all(
    ['watch.jsonl', 'changes.txt', 'watch.jsonl.err'].map((name) =>
      readFile(join(folder, name), 'utf8').catch(() => ''),
    ),
  );
  const steps = done
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' '));
  assert.deepEqual(
    steps.map(([name]) => name),
    CHANGES,
    `the watch told: ${told}${complaint}`,
  );
  const delays = steps.map(([name, begun, ended]) => `${name} ${(ended - begun).toFixed(1)} s`);
  ctx.log(`told, on an emulated CPU, after: ${delays.join(', ')}`);
}

export async function checkReplay(ctx, folder, probe) {
  const recording = join(folder, 'recording');
  if (!existsSync(recording))
    throw new Error(`no recording: ${await readFile(join(folder, 'record.txt.err'), 'utf8')}`);
  const { stdout } = await ctx.run(
    process.execPath,
    [ctx.vsmmu, 'probe', '--all', '-o', 'json', '--host', recording],
    { check: false },
  );
  const replayed = JSON.parse(stdout);
  assertRedacted(replayed.kernel.commandLine.value, probe.kernel.commandLine.value);
  replayed.kernel.commandLine = probe.kernel.commandLine;
  assert.deepEqual(valuesOf(replayed), valuesOf(probe));
}

/** A recording names all kernel parameters, and may keep back their values. */
function assertRedacted(recorded, whole) {
  const words = whole.split(' ');
  const kept = recorded.split(' ');
  assert.equal(kept.length, words.length);
  for (const [place, word] of words.entries())
    if (kept[place] !== word) assert.equal(kept[place], `${word.split('=', 1)[0]}=(redacted)`);
}
