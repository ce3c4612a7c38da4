import { newerQemu } from '../guest/boot.mjs';
import { iommufdKernel } from '../guest/iommufd-kernel.mjs';
import { THREE_SMMUS } from '../guest/machines.mjs';
import { runGuest, titlesOf } from '../guest/run-guest.mjs';

/** @type {import('../guest/run-guest.mjs').Guest} */
const GUEST = {
  name: 'kernel with IOMMUFD, three SMMUs under ACPI',
  machine: THREE_SMMUS,
  qemu: newerQemu,
  kernel: iommufdKernel,
  iommufd: true,
  doctor: {
    KERNEL_NOATS: 'ok',
    FIRMWARE_SMMU: 'ok',
    DRIVER_VFIO: 'ok',
    CONFIG_SPACE: 'ok',
    KERNEL_VERSION: 'ok',
    KERNEL_OPTIONS: 'ok',
    KERNEL_ATS: 'ok',
    NODE_IOMMU: 'ok',
    NODE_CDEV: 'ok',
    SMMU_ACCEL: 'error', // no emulated SMMU has what the kernel wants for nesting
    FIRMWARE_ATS: 'warning',
    GROUP_VIABLE: 'ok',
  },
};

/** Last of all suites by its time, for it may build a kernel, and does so only in time that nothing else needs. */
export const suite = {
  name: 'iommufd',
  needs: 'like guest, and a kernel with IOMMUFD, which is built if there is time for it',
  // Who asks for the kernel to be built may have a busy machine.
  timeoutMinutes: process.env.VSMMU_BUILD_KERNEL === '1' ? 120 : 30,
  checks: titlesOf(GUEST),
  run: (ctx) => runGuest(ctx, GUEST),
};
