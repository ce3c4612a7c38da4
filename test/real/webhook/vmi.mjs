export const NAMESPACE = 'vms';
export const VMIS = `/apis/kubevirt.io/v1/namespaces/${NAMESPACE}/virtualmachineinstances`;
export const OURS = 'vsmmu.io/10de-2941-ats';

/** A VirtualMachineInstance as a user writes it. @param {{ gpus?: number, hostDevices?: number, resource?: string, annotations?: Record<string, string> }} options */
export function vmi(name, { gpus = 0, hostDevices = 0, resource = OURS, annotations } = {}) {
  const devices = (count, prefix) =>
    count === 0
      ? undefined
      : Array.from({ length: count }, (_, i) => ({ name: `${prefix}${i}`, deviceName: resource }));
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name, namespace: NAMESPACE, ...(annotations === undefined ? {} : { annotations }) },
    spec: {
      domain: {
        devices: { gpus: devices(gpus, 'gpu'), hostDevices: devices(hostDevices, 'host') },
        resources: { requests: { memory: '64Mi' } },
      },
    },
  };
}
