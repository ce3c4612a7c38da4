import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { debianKernel, initramfs } from './initramfs.mjs';
import { iommufdKernel } from './iommufd-kernel.mjs';
import { boot, debianQemu, newerQemu } from './boot.mjs';
import { ONE_SMMU, THREE_SMMUS } from './machines.mjs';
import { endpointsOf, valuesOf } from './report.mjs';

/** IDR0..IDR5 of QEMU 11.1's emulated SMMUv3 (hw/arm/smmuv3.c, smmuv3_init_id_regs), as its guest reads them. */
const STAGE_1 = [0x0d44101a, 0x02730010, 0, 0x1404, 0, 0x74];

const ANY_GUEST = { KERNEL_NOATS: 'ok', FIRMWARE_SMMU: 'ok', DRIVER_VFIO: 'ok', CONFIG_SPACE: 'ok' };
const NO_IOMMUFD = {
  ...ANY_GUEST,
  KERNEL_OPTIONS: 'error',
  NODE_IOMMU: 'error',
  NODE_CDEV: 'error',
  SMMU_ACCEL: 'unknown',
};

const GUESTS = [
  {
    name: "Debian 12's kernel, one SMMU under device tree",
    machine: ONE_SMMU,
    qemu: debianQemu,
    kernel: (ctx) => debianKernel(ctx, 'bookworm'),
    iommufd: false,
    doctor: { ...NO_IOMMUFD, KERNEL_VERSION: 'error', FIRMWARE_ATS: 'ok', GROUP_VIABLE: 'error' },
  },
  {
    name: 'newest Debian kernel, three SMMUs under ACPI',
    machine: THREE_SMMUS,
    qemu: newerQemu,
    kernel: (ctx) => debianKernel(ctx, 'sid'),
    iommufd: false,
    doctor: { ...NO_IOMMUFD, KERNEL_VERSION: 'ok', FIRMWARE_ATS: 'warning', GROUP_VIABLE: 'ok' },
  },
  {
    name: 'kernel with IOMMUFD, three SMMUs under ACPI',
    machine: THREE_SMMUS,
    qemu: newerQemu,
    kernel: iommufdKernel,
    iommufd: true,
    doctor: {
      ...ANY_GUEST,
      KERNEL_VERSION: 'ok',
      KERNEL_OPTIONS: 'ok',
      KERNEL_ATS: 'ok',
      NODE_IOMMU: 'ok',
      NODE_CDEV: 'ok',
      // An emulated SMMU has no second stage to nest on that the kernel would take.
      SMMU_ACCEL: 'error',
      FIRMWARE_ATS: 'warning',
      GROUP_VIABLE: 'ok',
    },
  },
];

const title = {
  devices: ({ name }) =>
    `${name}: the live probe sees the devices, SMMUs and NUMA nodes that QEMU was told to make`,
  silent: ({ name }) => `${name}: what the kernel can't say is unknown, with the reason`,
  hwInfo: ({ name }) => `${name}: registers and ATS come from IOMMU_GET_HW_INFO`,
  held: ({ name }) => `${name}: a device in use is left alone, and its SMMU's registers come from another`,
  cached: ({ name }) =>
    `${name}: of a device in use, what it said before in this boot is still known, and marked as cached`,
  unprivileged: ({ name }) =>
    `${name}: without privileges the same devices are told, and what can't be read is unknown`,
  watch: ({ name }) =>
    `${name}: binding, virtual functions, unplugging and plugging are told by kernel events alone`,
  doctor: ({ name }) => `${name}: vsmmu doctor tells what is right and what is wrong with this host`,
  replay: ({ name }) => `${name}: replaying the guest's recording here reports the same as its live probe`,
};
const titlesOf = (guest) =>
  [
    title.devices,
    title.doctor,
    ...(guest.iommufd
      ? [title.hwInfo, title.held, title.cached, title.unprivileged, title.watch]
      : [title.silent]),
    title.replay,
  ].map((each) => each(guest));

export const suite = {
  name: 'guest',
  needs: 'arm64 Linux guests under QEMU, Node.js for arm64 from npm, a newer Debian in a chroot; root',
  timeoutMinutes: process.env.VSMMU_BUILD_KERNEL === '1' ? 40 : 12,
  checks: GUESTS.flatMap(titlesOf),
  async run(ctx) {
    for (const guest of GUESTS) await runGuest(ctx, guest);
  },
};

async function runGuest(ctx, guest) {
  let kernel, qemu, initrd;
  try {
    kernel = await guest.kernel(ctx);
    qemu = await guest.qemu(ctx);
    initrd = await initramfs(ctx, kernel);
  } catch (error) {
    if (error.name !== 'NotRun') throw error;
    for (const name of titlesOf(guest)) ctx.notRun(name, error.message);
    return;
  }
  ctx.log(`booting Linux ${kernel.release}`);
  const folder = await boot(ctx, { qemu, kernel, initrd, machine: guest.machine, timeoutSeconds: 300 });
  const probe = await reportIn(folder, 'probe.json');
  await ctx.check(title.devices(guest), () => {
    assert.deepEqual(endpointsOf(probe()), guest.machine.truth);
    assert.deepEqual(
      probe().smmus.map(({ name }) => name),
      guest.machine.smmus,
    );
  });
  const doctor = await reportIn(folder, 'doctor.json');
  await ctx.check(title.doctor(guest), () => checkDoctor(doctor(), guest.doctor));
  if (guest.iommufd) {
    await ctx.check(title.hwInfo(guest), () => checkHwInfo(probe(), guest.machine));
    const bdf = guest.machine.hold;
    const held = await reportIn(folder, 'held.json');
    await ctx.check(title.held(guest), async () =>
      checkHeld(held(), bdf, await readFile(join(folder, 'dmesg-held.txt'), 'utf8')),
    );
    const cached = await reportIn(folder, 'held-cached.json');
    await ctx.check(title.cached(guest), () => checkCached(cached(), probe(), bdf));
    const unprivileged = await reportIn(folder, 'unprivileged.json');
    await ctx.check(title.unprivileged(guest), () => checkUnprivileged(unprivileged(), probe()));
    await ctx.check(title.watch(guest), () => checkWatch(ctx, folder));
  } else {
    await ctx.check(title.silent(guest), () => checkSilent(probe(), guest.machine));
  }
  const passed = await ctx.check(title.replay(guest), () => checkReplay(ctx, folder, probe()));
  if (passed && process.env.VSMMU_KEEP_GUESTS !== '1') await rm(folder, { recursive: true });
  else ctx.log(`kept: ${folder}`);
}

/** What a probe in the guest printed; a function that throws with what the probe complained of, so that each check says so. */
async function reportIn(folder, name) {
  const [text, complaint] = await Promise.all(
    [name, `${name}.err`].map((each) => readFile(join(folder, each), 'utf8').catch(() => '')),
  );
  return () => {
    try {
      return JSON.parse(text);
    } catch {
      throw new Error(`the guest's vsmmu probe printed no report: ${complaint || text || 'nothing'}`);
    }
  };
}

/** @param expected result by code: for a code with several subjects, of each of them */
function checkDoctor({ categories }, expected) {
  const results = categories.flatMap(({ checks }) => checks).filter(({ code }) => code in expected);
  assert.deepEqual(new Set(results.map(({ code }) => code)), new Set(Object.keys(expected)));
  for (const { code, result, evidence } of results)
    assert.equal(result, expected[code], `${code}: ${evidence}`);
}

function checkSilent(probe, { truth, atsFirmware }) {
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

function checkHwInfo(probe, { truth }) {
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

function checkHeld(report, bdf, dmesg) {
  const device = report.devices.find((each) => each.bdf === bdf);
  assertUnknown(device.kernelAts, /in use|busy|open/);
  const smmu = report.smmus.find(({ name }) => name === device.smmu.value);
  assert.equal(smmu.registers.known, true);
  assert.ok(!JSON.stringify(smmu.registers.evidence).includes(bdf));
  const resets = dmesg.match(new RegExp(`${bdf}: resetting`, 'g')) ?? [];
  assert.equal(resets.length, 1, 'only the probe before it was held has reset it');
}

function checkCached(report, before, bdf) {
  const [now, then] = [report, before].map(
    ({ devices }) => devices.find((each) => each.bdf === bdf).kernelAts,
  );
  assert.equal(now.value, then.value);
  assert.match(JSON.stringify(now.evidence), /cached/);
}

function checkUnprivileged(report, privileged) {
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

async function checkWatch(ctx, folder) {
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

async function checkReplay(ctx, folder, probe) {
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
