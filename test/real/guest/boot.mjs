import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NewerDebian } from '../lib/newer-debian.mjs';

const MEMORY_MIB = 2048;
const PROGRAM = 'qemu-system-aarch64';

/**
 * A QEMU, and how it sees the cache's files.
 * @typedef {{
 *   run: (command: string, args: string[]) => Promise<unknown>,
 *   start: (command: string, args: string[]) => import('node:child_process').ChildProcess,
 *   path: (path: string) => string,
 *   firmware?: string,
 * }} Qemu
 */

/** The machine's own QEMU. @param {import('../lib/context.mjs').Context} ctx @returns {Promise<Qemu>} */
export async function debianQemu(ctx) {
  await ctx.apt.install('qemu-system-arm');
  return {
    run: (command, args) => ctx.run(command, args),
    start: (command, args) => ctx.start(command, args),
    path: (path) => path,
  };
}

/** QEMU of a newer Debian, with its firmware. @param {import('../lib/context.mjs').Context} ctx @returns {Promise<Qemu>} */
export async function newerQemu(ctx) {
  const debian = await NewerDebian.open(ctx);
  const shared = await ctx.cache();
  return {
    run: (command, args) => debian.run(command, args, { shared }),
    start: (command, args) => debian.start(command, args, { shared }),
    path: (path) => path.replace(shared, '/mnt/shared'),
    firmware: '/usr/share/qemu-efi-aarch64/QEMU_EFI.fd',
  };
}

/**
 * Starts a guest and waits until it has powered off.
 * @param {import('../lib/context.mjs').Context} ctx
 * @param {{ qemu: Qemu, kernel: import('./debian-kernel.mjs').Kernel, initrd: string, machine: import('./machines.mjs').Machine, timeoutSeconds: number }} options
 * @returns {Promise<string>} a folder with what the guest handed out
 */
export async function boot(ctx, { qemu, kernel, initrd, machine, timeoutSeconds }) {
  const folder = await mkdtemp(join(await ctx.cache('guests'), 'guest-'));
  const handedOut = join(folder, 'out.tar');
  const args = [
    ...hardware(machine),
    ...['-serial', 'stdio', '-no-reboot'],
    ...['-chardev', `file,id=out,path=${qemu.path(handedOut)}`, '-device', 'virtserialport,chardev=out'],
    ...[
      '-kernel',
      qemu.path(kernel.image),
      '-initrd',
      qemu.path(initrd),
      '-append',
      kernelCommandLine(machine),
    ],
    ...(machine.firmware ? ['-bios', qemu.firmware] : []),
    ...(machine.atsFirmware ? ['-dtb', qemu.path(await deviceTreeWithAts(ctx, qemu, machine, folder))] : []),
  ];
  const said = await outputUntilExit(ctx, qemu.start(PROGRAM, args), timeoutSeconds);
  if (!said.includes('init: done'))
    throw new Error(`the guest did not come to its end:\n${said.slice(-3000)}`);
  await ctx.run('tar', ['-xf', handedOut], { cwd: folder });
  await rm(handedOut);
  return folder;
}

function hardware({ machine, nodes = 0, devices }) {
  return [
    ...[
      '-machine',
      machine,
      '-accel',
      'tcg,thread=multi',
      '-cpu',
      'neoverse-n1',
      '-smp',
      '2',
      '-m',
      `${MEMORY_MIB}M`,
    ],
    ...['-nodefaults', '-display', 'none'],
    ...numa(nodes),
    ...devices.flatMap((device) => ['-device', device]),
    ...['-device', 'virtio-serial-pci,bus=pcie.0,addr=1e.0'],
  ];
}

/** As many NUMA nodes, one CPU and an equal share of the memory each. */
function numa(nodes) {
  return Array.from({ length: nodes }, (_, node) => [
    ...['-object', `memory-backend-ram,id=ram${node},size=${MEMORY_MIB / nodes}M`],
    ...['-numa', `node,nodeid=${node},cpus=${node},memdev=ram${node}`],
  ]).flat();
}

/** What init.sh is to do, beside what the kernel needs. */
function kernelCommandLine({ vfs = [], bind, hold = '' }) {
  return [
    'console=ttyAMA0 quiet panic=-1',
    `vsmmu.vfs=${vfs.join(',')}`,
    `vsmmu.bind=${bind.join(',')}`,
    `vsmmu.hold=${hold}`,
  ].join(' ');
}

/** The device tree that QEMU would make, with the root complex's word that ATS may be used behind it. */
async function deviceTreeWithAts(ctx, qemu, machine, folder) {
  await ctx.apt.install('device-tree-compiler');
  const file = join(folder, 'ats.dtb');
  await qemu.run(PROGRAM, hardware({ ...machine, machine: `${machine.machine},dumpdtb=${qemu.path(file)}` }));
  await ctx.run('fdtput', ['-t', 's', file, '/pcie@10000000', 'ats-supported']);
  return file;
}

/** What the guest printed, without the firmware's terminal control sequences. */
async function outputUntilExit(ctx, guest, timeoutSeconds) {
  let said = '';
  guest.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  guest.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  const timer = setTimeout(() => {
    said += `\n[still running after ${timeoutSeconds} s]`;
    ctx.end(guest, 'SIGKILL');
  }, timeoutSeconds * 1000);
  await new Promise((resolve, reject) => guest.once('close', resolve).once('error', reject));
  clearTimeout(timer);
  return said.replace(/\u001b\[[0-9;=?]*[A-Za-z]/g, '');
}
