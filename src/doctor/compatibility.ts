/** The first version of a part that brings something, and what is missing before it. */
export interface CompatibilityRow {
  readonly part: string;
  /** "6.13": major.minor, as its own project counts. */
  readonly since: string;
  readonly gives: string;
  readonly without: string;
}

/**
 * What vsmmu needs of others, as their releases brought it. The one source of docs/compatibility.md, its JSON and
 * of the versions that `vsmmu doctor` names; test/compatibility.test.ts holds the code that decides by versions to it.
 */
export const COMPATIBILITY = {
  hwInfo: {
    part: 'Linux',
    since: '6.6',
    gives: 'IOMMU_GET_HW_INFO: devices can be asked',
    without: 'Everything of an SMMU is unknown',
  },
  smmuRegisters: {
    part: 'Linux',
    since: '6.13',
    gives: 'registers of the SMMU, with CONFIG_ARM_SMMU_V3_IOMMUFD',
    without: 'What the SMMU can do is unknown; nothing is resolved',
  },
  pasidWidth: {
    part: 'Linux',
    since: '6.15',
    gives: 'PASID width of a device',
    without: "Unknown; a vSMMU's ssidsize comes from the SMMU all the same",
  },
  cmdqvType: {
    part: 'Linux',
    since: '6.17',
    gives: 'whether there is a CMDQV',
    without: 'Unknown; auto is off',
  },
  deviceAts: {
    part: 'Linux',
    since: '7.1',
    gives: "whether a device's ATS is usable",
    without: 'Unknown; QEMU takes silence for support',
  },
  qemuAccel: {
    part: 'QEMU',
    since: '11.0',
    gives: 'accelerated vSMMUs: accel, ats, ril, ssidsize, oas',
    without: 'No accelerated vSMMU',
  },
  qemuCmdqvAndAts: {
    part: 'QEMU',
    since: '11.1',
    gives: 'cmdqv of a vSMMU, ats of vfio-pci',
    without: 'Set --no-vfio-ats for the hook',
  },
  libvirtPciBus: {
    part: 'libvirt',
    since: '11.10',
    gives: 'qemu:override on vSMMUs (--target=override)',
    without: 'Refused: nothing that could be written has an effect',
  },
  libvirtAttributes: {
    part: 'libvirt',
    since: '12.7',
    gives: 'accel, ats, ril, ssidsize, oas, cmdqv as attributes',
    without: 'Attributes are ignored without a word; use --target=override',
  },
  kubevirtHooks: {
    part: 'KubeVirt',
    since: '1.0',
    gives: 'hook sidecars, with the feature gate Sidecar; hostDevices, with HostDevices',
    without: 'No hook',
  },
  kubevirtVsmmus: {
    part: 'KubeVirt',
    since: '1.9',
    gives: 'its own vSMMUs for Grace (GraceIOVirtualization) and IOMMUFD; needs libvirt 12.2',
    without: 'Devices are passed through the legacy way',
  },
  // Of the kubelet: the published APIs, module k8s.io/kubelet at v0.18.0 to v0.28.0; test/real/kubelet looks there again.
  preferredAllocation: {
    part: 'kubelet',
    since: '1.19',
    gives: 'GetPreferredAllocation: the devices of one container near each other',
    without: 'The kubelet picks among free devices by itself',
  },
  podResources: {
    part: 'kubelet',
    since: '1.20',
    gives: 'PodResources v1: which devices pods have, and when they are done with them',
    without: 'Not supported: the agent cannot tell which IOMMU groups are in use',
  },
  // On by default from 1.29 on: DevicePluginCDIDevices in pkg/features/kube_features.go of Kubernetes.
  cdiDevices: {
    part: 'kubelet',
    since: '1.28',
    gives: 'devices by CDI (cdi: true), with the feature gate DevicePluginCDIDevices, which 1.29 has on',
    without: 'Leave cdi off',
  },
  matchConditions: {
    part: 'Kubernetes',
    since: '1.28',
    gives: 'matchConditions of webhooks, on by default',
    without: 'The chart refuses',
  },
  admissionPolicies: {
    part: 'Kubernetes',
    since: '1.30',
    gives: 'ValidatingAdmissionPolicies',
    without: 'The chart leaves them out and warns',
  },
  nodeTokens: {
    part: 'Kubernetes',
    since: '1.32',
    gives: 'tokens that name their node',
    without: 'Agents cannot write their NodeProfile while the policy own-profile-only is there',
  },
  resourceClaims: {
    part: 'Kubernetes',
    since: '1.34',
    gives: 'resource.k8s.io/v1, for the DRA driver',
    without: 'The chart refuses agent.dra',
  },
  helm: {
    part: 'Helm',
    since: '3.10',
    gives: 'the chart; tested with 3.10 and 4.3',
    without: 'Use manifests/',
  },
} as const satisfies Readonly<Record<string, CompatibilityRow>>;

/** Versions that are found together, and what comes of it. */
export const COMBINATIONS = [
  {
    kubevirt: '1.9 on CentOS Stream 9',
    libvirt: '11.10',
    qemu: '10.1',
    result: 'Devices are advertised and scheduled; no accelerated vSMMU (QEMU)',
  },
  {
    kubevirt: '1.9 on CentOS Stream 10',
    libvirt: '12.5',
    qemu: '10.1',
    result: 'The same',
  },
  {
    kubevirt: "1.9 with virt-launcher of one's own",
    libvirt: '12.7 or later',
    qemu: '11.0 or later',
    result: 'Everything; hook.args is empty',
  },
  {
    kubevirt: "1.9 with virt-launcher of one's own",
    libvirt: '11.10 to 12.6',
    qemu: '11.0 or later',
    result: 'Everything, with hook.args=[--target=override]',
  },
  {
    kubevirt: 'none, plain libvirt',
    libvirt: '12.7 or later',
    qemu: '11.0 or later',
    result: 'Everything, with vsmmu rewrite',
  },
] as const;

/** "Linux 6.13", as remedies name it. */
export function named({ part, since }: CompatibilityRow): string {
  return `${part} ${since}`;
}

/** @returns [6, 13] */
export function sinceOf({ since }: CompatibilityRow): readonly [major: number, minor: number] {
  const [major = 0, minor = 0] = since.split('.').map(Number);
  return [major, minor];
}

/** What a part has for this project beyond the row that it must have: rows of it, oldest first. */
export function rowsOf(part: string): readonly CompatibilityRow[] {
  return Object.values<CompatibilityRow>(COMPATIBILITY).filter((row) => row.part === part);
}
