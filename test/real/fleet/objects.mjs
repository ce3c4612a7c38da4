export const PROFILES = '/apis/vsmmu.io/v1alpha1/nodeprofiles';
export const POLICIES = '/apis/vsmmu.io/v1alpha1/policies';
export const BASELINES = '/apis/vsmmu.io/v1alpha1/baselines';
export const NODES = '/api/v1/nodes';
export const VMIS = '/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances';
export const OURS = 'vsmmu.io/10de-2941-ats';
const SMMU = 'smmu3.0x0000000011000000';

/** A NodeProfile as an agent writes it: one SMMU, GPUs behind it. */
export function profile(
  node,
  { ats = 'on', ril = 'on', ssidsize = 20, oas = 48, cmdqv = 'on', gpus = 1, deviceAts = 'yes' } = {},
) {
  const devices = Array.from({ length: gpus }, (_, i) => ({
    bdf: `0009:${(i + 1).toString(16).padStart(2, '0')}:00.0`,
    smmu: SMMU,
    kernelAts: 'supported',
    ats: deviceAts,
    pasidBits: Math.min(20, ssidsize),
    ready: true,
    vendor: '10de',
    device: '2941',
    driver: 'nvgrace-gpu-vfio-pci',
    iommuGroup: i,
  }));
  return {
    apiVersion: 'vsmmu.io/v1alpha1',
    kind: 'NodeProfile',
    metadata: { name: node },
    spec: {
      node,
      kernel: '7.2.0',
      summary: { smmus: 1, accel: 1, devices: gpus, ats: gpus, pasid: ssidsize > 0 ? gpus : 0 },
      smmus: [
        {
          name: SMMU,
          accel: 'on',
          limits: { ats, ril, ssidsize, oas, cmdqv },
          evidence: ['IDR0=0x0d4c169b'],
        },
      ],
      devices,
    },
  };
}

export function node(name, labels = {}) {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'test/fleet': 'yes', ...labels } } };
}

export function baseline(name, spec = {}) {
  return {
    apiVersion: 'vsmmu.io/v1alpha1',
    kind: 'Baseline',
    metadata: { name },
    spec: { nodeSelector: { matchLabels: { 'test/fleet': 'yes' } }, ...spec },
  };
}

export function policy(name, spec) {
  return { apiVersion: 'vsmmu.io/v1alpha1', kind: 'Policy', metadata: { name }, spec };
}

export function vmi(name, { on, gpus = 1, annotations = {} } = {}) {
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name, namespace: 'default', annotations },
    spec: {
      domain: {
        devices: { gpus: Array.from({ length: gpus }, (_, i) => ({ name: `gpu${i}`, deviceName: OURS })) },
        resources: { requests: { memory: '64Mi' } },
      },
    },
    ...(on === undefined ? {} : { status: { phase: 'Running', nodeName: on } }),
  };
}
