import type { NodeProfileSpec } from '../src/cluster/node-profile-schema.js';
import { type NodeProfile, parseNodeProfile } from '../src/cluster/node-profile.js';

export interface NodeShape {
  readonly ats?: boolean;
  readonly ril?: boolean;
  readonly ssidsize?: number;
  readonly oas?: number;
  readonly cmdqv?: boolean;
  readonly devices?: readonly DeviceShape[];
  /** Why no accelerated vSMMU can use its SMMU. */
  readonly obstacle?: string;
}

export interface DeviceShape {
  readonly model?: string;
  readonly ats?: 'yes' | 'no' | 'unknown';
  readonly ready?: boolean;
}

const spell = (value: boolean) => (value ? 'on' : 'off');

/** A node with one SMMU and, unless said otherwise, one GPU behind it. */
export function profileSpec(node: string, shape: NodeShape = {}): NodeProfileSpec {
  const { ats = true, ril = true, ssidsize = 20, oas = 48, cmdqv = true, devices = [{}], obstacle } = shape;
  const limits = { ats: spell(ats), ril: spell(ril), ssidsize, oas, cmdqv: spell(cmdqv) } as const;
  const profileDevices = devices.map((device, index) => {
    const [vendor = '', id = ''] = (device.model ?? '10de:2941').split(':');
    return {
      bdf: `0009:${(index + 1).toString(16).padStart(2, '0')}:00.0`,
      smmu: 'smmu3.0x0000000011000000',
      kernelAts: device.ats === 'no' ? 'not-supported' : device.ats === 'unknown' ? 'silent' : 'supported',
      ats: device.ats ?? 'yes',
      pasidBits: Math.min(ssidsize, 20),
      ready: device.ready ?? true,
      ...(device.ready === false ? { because: 'on driver nvme' } : {}),
      vendor,
      device: id,
      driver: 'vfio-pci',
      iommuGroup: index,
    } as const;
  });
  return {
    node,
    kernel: '7.2.0',
    summary: {
      smmus: 1,
      accel: obstacle === undefined ? 1 : 0,
      devices: profileDevices.length,
      ats: profileDevices.filter((device) => device.ats === 'yes').length,
      pasid: profileDevices.filter(({ pasidBits }) => pasidBits > 0).length,
    },
    smmus: [
      obstacle === undefined
        ? { name: 'smmu3.0x0000000011000000', accel: 'on', limits }
        : {
            name: 'smmu3.0x0000000011000000',
            accel: 'impossible',
            limits,
            obstacles: [{ code: 'HOST_SIDSIZE', message: obstacle, remedy: 'Use another host.' }],
          },
    ],
    devices: profileDevices,
  };
}

export function profile(node: string, shape: NodeShape = {}): NodeProfile {
  return parseNodeProfile({ metadata: { name: node }, spec: profileSpec(node, shape) });
}
