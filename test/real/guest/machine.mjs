import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NewerDebian } from '../lib/newer-debian.mjs';

/**
 * What QEMU emulates: command line fragments, what the guest shall do with the devices, and what is therefore true.
 * smmus: names in sysfs, which are base addresses of QEMU's memory map. truth: endpoints by address, as
 * `PCI-ID DRIVER SMMU NODE CAPABILITY`, where SMMU is an index of smmus, and "-" stands for none.
 * @typedef {{ machine: string, devices: string[], firmware?: boolean, nodes?: number, vfs?: string[], bind: string[], hold?: string, smmus: string[], truth: Record<string, string> }} Machine
 */

const MEMORY_MIB = 2048;

/** A device per line as QEMU's man page has it, for reading. */
const lines = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim());

/**
 * One SMMU under device tree, as far as Debian 12's QEMU goes: a two-function device, a switch, a bridge to
 * conventional PCI, and an SSD with virtual functions.
 * @type {Machine}
 */
export const ONE_SMMU = {
  machine: 'virt,gic-version=3,iommu=smmuv3',
  devices: lines(`
    pcie-root-port,id=rp1,chassis=1,addr=4
    e1000e,bus=rp1,addr=0.0,multifunction=on,romfile=
    e1000e,bus=rp1,addr=0.1,romfile=
    pcie-root-port,id=rp2,chassis=2,addr=5
    x3130-upstream,id=up,bus=rp2
    xio3130-downstream,id=down1,bus=up,chassis=3,slot=1,addr=0
    xio3130-downstream,id=down2,bus=up,chassis=4,slot=2,addr=1
    e1000e,bus=down1,romfile=
    virtio-net-pci,bus=down2,disable-legacy=on,iommu_platform=on,ats=on,romfile=
    pcie-pci-bridge,id=conventional,bus=pcie.0,addr=6
    e1000,bus=conventional,addr=1,romfile=
    pcie-root-port,id=rp3,chassis=5,addr=7
    nvme-subsys,id=ssd
    nvme,bus=rp3,serial=vsmmu,subsys=ssd,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2
  `),
  vfs: ['0000:07:00.0:2'],
  bind: ['0000:01:00.0', '0000:01:00.1', '0000:04:00.0', '0000:05:00.0', '0000:07:00.1'],
  smmus: ['smmu3.0x0000000009050000'],
  truth: {
    '0000:01:00.0': '8086:10d3 vfio-pci 0 - -',
    '0000:01:00.1': '8086:10d3 vfio-pci 0 - -',
    '0000:04:00.0': '8086:10d3 vfio-pci 0 - -',
    '0000:05:00.0': '1af4:1041 vfio-pci 0 - ATS',
    '0000:06:01.0': '8086:100e e1000 0 - -',
    '0000:07:00.0': '1b36:0010 nvme 0 - -',
    '0000:07:00.1': '1b36:0010 vfio-pci 0 - -',
    '0000:07:00.2': '1b36:0010 - 0 - -',
  },
};

/**
 * Three SMMUs under UEFI and ACPI, two of them behind expander buses of two NUMA nodes; needs QEMU 10.2.
 * @type {Machine}
 */
export const THREE_SMMUS = {
  machine: 'virt,gic-version=3',
  firmware: true,
  nodes: 2,
  devices: lines(`
    arm-smmuv3,primary-bus=pcie.0
    pcie-root-port,id=rp1,chassis=1,addr=4
    e1000e,bus=rp1,addr=0.0,multifunction=on,romfile=
    e1000e,bus=rp1,addr=0.1,romfile=
    pcie-pci-bridge,id=conventional,bus=pcie.0,addr=5
    e1000,bus=conventional,addr=1,romfile=
    pxb-pcie,id=pxb1,bus_nr=16,bus=pcie.0,addr=8,numa_node=0
    arm-smmuv3,primary-bus=pxb1
    pcie-root-port,id=rp2,chassis=2,bus=pxb1,addr=0
    x3130-upstream,id=up,bus=rp2
    xio3130-downstream,id=down1,bus=up,chassis=3,slot=1,addr=0
    xio3130-downstream,id=down2,bus=up,chassis=4,slot=2,addr=1
    e1000e,bus=down1,romfile=
    virtio-net-pci,bus=down2,disable-legacy=on,iommu_platform=on,ats=on,romfile=
    pxb-pcie,id=pxb2,bus_nr=64,bus=pcie.0,addr=9,numa_node=1
    arm-smmuv3,primary-bus=pxb2,stage=nested
    pcie-root-port,id=rp3,chassis=5,bus=pxb2,addr=0
    nvme-subsys,id=ssd
    nvme,bus=rp3,serial=vsmmu,subsys=ssd,sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2
    pcie-root-port,id=rp4,chassis=6,bus=pxb2,addr=1
    virtio-net-pci,bus=rp4,disable-legacy=on,iommu_platform=on,ats=on,romfile=
  `),
  vfs: ['0000:41:00.0:2'],
  bind: ['0000:01:00.0', '0000:01:00.1', '0000:13:00.0', '0000:14:00.0', '0000:41:00.1', '0000:42:00.0'],
  hold: '0000:42:00.0',
  smmus: ['smmu3.0x000000000c000000', 'smmu3.0x000000000c020000', 'smmu3.0x000000000c040000'],
  truth: {
    '0000:01:00.0': '8086:10d3 vfio-pci 0 - -',
    '0000:01:00.1': '8086:10d3 vfio-pci 0 - -',
    '0000:02:01.0': '8086:100e e1000 0 - -',
    '0000:13:00.0': '8086:10d3 vfio-pci 1 0 -',
    '0000:14:00.0': '1af4:1041 vfio-pci 1 0 ATS',
    '0000:41:00.0': '1b36:0010 nvme 2 1 -',
    '0000:41:00.1': '1b36:0010 vfio-pci 2 1 -',
    '0000:41:00.2': '1b36:0010 - 2 1 -',
    '0000:42:00.0': '1af4:1041 vfio-pci 2 1 ATS',
  },
};

/** A QEMU, and how it sees the cache's files. @typedef {{ start: (command: string, args: string[], options?: object) => import('node:child_process').ChildProcess, path: (path: string) => string, firmware: string }} Qemu */

/** The machine's own QEMU. @param {import('../lib/context.mjs').Context} ctx @returns {Promise<Qemu>} */
export async function debianQemu(ctx) {
  await ctx.apt.install('qemu-system-arm');
  return { start: (command, args) => ctx.start(command, args), path: (path) => path };
}

/** QEMU of a newer Debian, with its firmware. @param {import('../lib/context.mjs').Context} ctx @returns {Promise<Qemu>} */
export async function newerQemu(ctx) {
  const debian = await NewerDebian.open(ctx);
  const cache = await ctx.cache();
  return {
    start: (command, args) => debian.start(command, args, { shared: cache }),
    path: (path) => path.replace(cache, '/mnt/shared'),
    firmware: '/usr/share/qemu-efi-aarch64/QEMU_EFI.fd',
  };
}

/**
 * Starts a guest and waits until it has powered off.
 * @param {import('../lib/context.mjs').Context} ctx
 * @param {{ qemu: Qemu, kernel: import('./initramfs.mjs').Kernel, initrd: string, machine: Machine, timeoutSeconds: number }} options
 * @returns {Promise<{ console: string, folder: string }>} what the guest printed, and a folder with what it handed out
 */
export async function boot(ctx, { qemu, kernel, initrd, machine, timeoutSeconds }) {
  const folder = await mkdtemp(join(await ctx.cache('guests'), 'guest-'));
  const handedOut = join(folder, 'out.tar');
  const settings = [
    'console=ttyAMA0 quiet panic=-1 net.ifnames=0',
    `vsmmu.vfs=${(machine.vfs ?? []).join(',')}`,
    `vsmmu.bind=${machine.bind.join(',')}`,
    `vsmmu.hold=${machine.hold ?? ''}`,
  ];
  const args = [
    ...[
      '-machine',
      machine.machine,
      '-accel',
      'tcg,thread=multi',
      '-cpu',
      'neoverse-n1',
      '-smp',
      '2',
      '-m',
      '2G',
    ],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...['-kernel', qemu.path(kernel.image), '-initrd', qemu.path(initrd), '-append', settings.join(' ')],
    ...(machine.firmware ? ['-bios', qemu.firmware] : []),
    ...numa(machine.nodes ?? 0),
    ...machine.devices.flatMap((device) => ['-device', device]),
    ...[
      '-device',
      'virtio-serial-pci,bus=pcie.0,addr=1e.0',
      '-chardev',
      `file,id=out,path=${qemu.path(handedOut)}`,
      '-device',
      'virtserialport,chardev=out',
    ],
  ];
  const guest = qemu.start('qemu-system-aarch64', args);
  let said = '';
  guest.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  guest.stderr.setEncoding('utf8').on('data', (text) => (said += text));
  const timer = setTimeout(() => {
    said += `\n[still running after ${timeoutSeconds} s]`;
    ctx.end(guest, 'SIGKILL');
  }, timeoutSeconds * 1000);
  await new Promise((resolve, reject) => guest.once('close', resolve).once('error', reject));
  clearTimeout(timer);
  if (!said.includes('init: done'))
    throw new Error(`the guest did not come to its end:\n${plain(said).slice(-3000)}`);
  await ctx.run('tar', ['-xf', handedOut], { cwd: folder });
  await rm(handedOut);
  return { console: plain(said), folder };
}

/** As many NUMA nodes, one CPU and an equal share of the memory each. */
function numa(nodes) {
  return Array.from({ length: nodes }, (_, node) => [
    ...['-object', `memory-backend-ram,id=ram${node},size=${MEMORY_MIB / nodes}M`],
    ...['-numa', `node,nodeid=${node},cpus=${node},memdev=ram${node}`],
  ]).flat();
}

/** Without the firmware's terminal control sequences. */
function plain(text) {
  return text.replace(/\u001b\[[0-9;=?]*[A-Za-z]/g, '');
}
