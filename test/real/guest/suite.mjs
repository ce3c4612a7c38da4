import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { debianKernel } from './debian-kernel.mjs';
import { initramfs } from './initramfs.mjs';
import { iommufdKernel } from './iommufd-kernel.mjs';
import {
  checkCached,
  checkDoctor,
  checkHeld,
  checkHwInfo,
  checkReplay,
  checkSilent,
  checkUnprivileged,
  checkWatch,
} from './checks.mjs';
import { boot, debianQemu, newerQemu } from './boot.mjs';
import { ONE_SMMU, THREE_SMMUS } from './machines.mjs';
import { endpointsOf } from './report.mjs';

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
