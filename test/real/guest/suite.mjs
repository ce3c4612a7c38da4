import { debianQemu, newerQemu } from './boot.mjs';
import { debianKernel } from './debian-kernel.mjs';
import { ONE_SMMU, THREE_SMMUS } from './machines.mjs';
import { runGuest, titlesOf } from './run-guest.mjs';

/** What `vsmmu doctor` finds wherever the kernel has no IOMMUFD. */
const NO_IOMMUFD = {
  KERNEL_NOATS: 'ok',
  FIRMWARE_SMMU: 'ok',
  DRIVER_VFIO: 'ok',
  CONFIG_SPACE: 'ok',
  KERNEL_OPTIONS: 'error',
  NODE_IOMMU: 'error',
  NODE_CDEV: 'error',
  SMMU_ACCEL: 'unknown',
};

/** @type {import('./run-guest.mjs').Guest[]} */
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
];

export const suite = {
  name: 'guest',
  needs: 'arm64 Linux guests under QEMU, Node.js for arm64 from npm, a newer Debian in a chroot; root',
  timeoutMinutes: 10,
  checks: GUESTS.flatMap(titlesOf),
  async run(ctx) {
    for (const guest of GUESTS) await runGuest(ctx, guest);
  },
};
