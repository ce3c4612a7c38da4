import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';
import { boot } from './boot.mjs';
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
import { initramfs } from './initramfs.mjs';
import { endpointsOf } from './report.mjs';

const title = {
  boots: ({ name }) => `${name}: boots, runs vsmmu and powers off`,
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
export const titlesOf = (guest) =>
  [
    title.boots,
    title.devices,
    title.doctor,
    ...(guest.iommufd
      ? [title.hwInfo, title.held, title.cached, title.unprivileged, title.watch]
      : [title.silent]),
    title.replay,
  ].map((each) => each(guest));

/**
 * @typedef {{
 *   name: string, machine: import('./machines.mjs').Machine, iommufd: boolean,
 *   qemu: (ctx: import('../lib/context.mjs').Context) => Promise<import('./boot.mjs').Qemu>,
 *   kernel: (ctx: import('../lib/context.mjs').Context) => Promise<import('./debian-kernel.mjs').Kernel>,
 *   doctor: Record<string, 'ok' | 'warning' | 'error' | 'unknown'>,
 * }} Guest doctor: what `vsmmu doctor` must find in it
 */

/** Boots a guest, in which init.sh runs vsmmu, and checks what it handed out. @param {import('../lib/context.mjs').Context} ctx @param {Guest} guest */
export async function runGuest(ctx, guest) {
  let kernel;
  let qemu;
  let initrd;
  try {
    kernel = await guest.kernel(ctx);
    qemu = await guest.qemu(ctx);
    initrd = await initramfs(ctx, kernel);
  } catch (error) {
    if (!(error instanceof NotRun)) throw error;
    for (const name of titlesOf(guest)) ctx.notRun(name, error.message);
    return;
  }
  ctx.log(`booting Linux ${kernel.release}`);
  let folder;
  const ended = await ctx.check(title.boots(guest), async () => {
    folder = await boot(ctx, { qemu, kernel, initrd, machine: guest.machine, timeoutSeconds: 300 });
  });
  if (ended) await checkGuest(ctx, guest, folder);
}

async function checkGuest(ctx, guest, folder) {
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
