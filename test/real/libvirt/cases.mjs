/**
 * Domains, the hosts they are rewritten for, and the properties that QEMU must then get. The expected values are
 * worked out by hand from the host's recorded register words and the resolution rules, not by vsmmu.
 * host, domain: paths from the repository's root; a domain under $DATA is of the shared data, which may be missing.
 */
export const CASES = [
  {
    name: 'two GPUs and a NIC behind two different SMMUs',
    domain: 'src/cli/demo/two-gpu.domain.xml',
    // IDR0.ATS both; IDR3.RIL only the first; IDR1.SSIDSIZE 20 and 16; IDR5.OAS 48 both; input type 3 refused.
    host: 'src/cli/demo/two-gpu-host',
    smmus: {
      'pci.1': { accel: true, ats: 'on', ril: 'on', ssidsize: '20', oas: '48' },
      'pci.4': { accel: true, ats: 'on', ril: 'off', ssidsize: '16', oas: '48' },
    },
    // out_capabilities 0x7, 0x7, and 0x9 of the NIC: bit 3 says that ATS is not supported.
    devices: { 'ua-gpu-gpu0': 'on', 'ua-gpu-gpu1': 'on', 'ua-hostdevice-nic0': 'off' },
    // KubeVirt's constants taken as wishes: all of them can be had behind the first SMMU.
    keep: {
      refused: /ssidsize/,
    },
  },
  {
    name: "KubeVirt's VM with one Grace GPU",
    domain: '$DATA/kubevirt/grace-1gpu.domain.xml',
    // ATS, RIL, SSIDSIZE 20, OAS 48, CMDQV; ATS not denied on a kernel that would.
    host: 'test/fixtures/hosts/grace-2gpu',
    smmus: { 'pci.1': { accel: true, cmdqv: 'on', ats: 'on', ril: 'on', ssidsize: '20', oas: '48' } },
    devices: { 'ua-gpu-gpu0': 'on' },
    keep: { 'pci.1': { accel: true, ats: 'on', ril: 'off', ssidsize: '20', oas: '48' } },
  },
  {
    name: "KubeVirt's VM with two Grace GPUs",
    domain: '$DATA/kubevirt/grace-2gpu.domain.xml',
    host: 'test/fixtures/hosts/grace-2gpu',
    smmus: {
      'pci.1': { accel: true, cmdqv: 'on', ats: 'on', ril: 'on', ssidsize: '20', oas: '48' },
      'pci.3': { accel: true, cmdqv: 'on', ats: 'on', ril: 'on', ssidsize: '20', oas: '48' },
    },
    devices: { 'ua-gpu-gpu0': 'on', 'ua-gpu-gpu1': 'on' },
    keep: {
      'pci.1': { accel: true, ats: 'on', ril: 'off', ssidsize: '20', oas: '48' },
      'pci.3': { accel: true, ats: 'on', ril: 'off', ssidsize: '20', oas: '48' },
    },
  },
];
