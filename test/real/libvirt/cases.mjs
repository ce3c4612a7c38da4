/** KubeVirt's constants, which --existing keep takes as the user's wishes. */
const KUBEVIRT = { accel: true, ats: 'on', ril: 'off', ssidsize: '20', oas: '48' };
/** test/fixtures/hosts/grace-2gpu, both SMMUs: IDR0.ATS, IDR3.RIL, IDR1.SSIDSIZE=20, IDR5.OAS=48, and a CMDQV. */
const GRACE = { accel: true, cmdqv: 'on', ats: 'on', ril: 'on', ssidsize: '20', oas: '48' };
/** src/cli/demo/two-gpu-host: the second SMMU has no RIL and SSIDSIZE=16; neither has a CMDQV. */
const FIRST = { accel: true, ats: 'on', ril: 'on', ssidsize: '20', oas: '48' };
const SECOND = { accel: true, ats: 'on', ril: 'off', ssidsize: '16', oas: '48' };

/**
 * Domains, the hosts they are rewritten for, and what QEMU must then get: for every passed-through device, by its alias,
 * its own `ats` and the properties of the vSMMU it stands behind. The expected values are worked out by hand from the
 * host's recorded register words and the resolution rules, not by vsmmu.
 * host, domain: paths from the repository's root; a domain under $DATA is of the shared data, which may be missing.
 */
export const CASES = [
  {
    name: 'two GPUs and a NIC behind two different SMMUs',
    domain: 'src/cli/demo/two-gpu.domain.xml',
    host: 'src/cli/demo/two-gpu-host',
    // out_capabilities 0x7 of the GPUs, 0x9 of the NIC: its bit 3 says that ATS is not supported.
    devices: {
      'ua-gpu-gpu0': { ats: 'on', smmu: FIRST },
      'ua-hostdevice-nic0': { ats: 'off', smmu: FIRST },
      'ua-gpu-gpu1': { ats: 'on', smmu: SECOND },
    },
    keep: /ssidsize/, // 20 cannot be had behind the second SMMU
  },
  {
    name: "KubeVirt's VM with one Grace GPU",
    domain: '$DATA/kubevirt/grace-1gpu.domain.xml',
    host: 'test/fixtures/hosts/grace-2gpu',
    devices: { 'ua-gpu-gpu0': { ats: 'on', smmu: GRACE } },
    keep: { 'ua-gpu-gpu0': { ats: 'on', smmu: KUBEVIRT } },
  },
  {
    name: "KubeVirt's VM with two Grace GPUs",
    domain: '$DATA/kubevirt/grace-2gpu.domain.xml',
    host: 'test/fixtures/hosts/grace-2gpu',
    devices: { 'ua-gpu-gpu0': { ats: 'on', smmu: GRACE }, 'ua-gpu-gpu1': { ats: 'on', smmu: GRACE } },
    keep: { 'ua-gpu-gpu0': { ats: 'on', smmu: KUBEVIRT }, 'ua-gpu-gpu1': { ats: 'on', smmu: KUBEVIRT } },
  },
];
