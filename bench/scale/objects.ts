import { describeNode } from '../../src/cluster/describe-node.js';
import { NODE_PROFILES } from '../../src/cluster/node-profile.js';
import { apiVersionOf } from '../../src/cluster/resource.js';
import { probeHost } from '../../src/host/probe.js';
import { recordingOf } from '../../src/host/recording.js';
import type { HostReport } from '../../src/host/report.js';

/** One GPU host: each device alone behind its root port, bound to vfio-pci, spread evenly over SMMUs and NUMA nodes. */
export async function hostReport(devices: number, smmus: number): Promise<HostReport> {
  const all = Array.from({ length: devices }, (_, n) => ({
    bdf: `${(n + 1).toString(16).padStart(4, '0')}:01:00.0`,
    group: n + 1,
    smmu: Math.floor((n * smmus) / devices),
  }));
  const sysfs = [
    '# Linux version 7.2.0-generated (x@y) #1 SMP',
    ...all.flatMap(({ bdf, group, smmu }) => deviceLines(bdf, group, smmu)),
    'DEV /dev/iommu',
    '',
  ].join('\n');
  const source = recordingOf('/generated', {
    sysfs,
    pciConfig: all.map(({ bdf }) => `${bdf} 3D controller\n${CONFIG_ROWS}\n`).join(''),
    hwInfo: JSON.stringify(all.flatMap(({ bdf }) => answers(bdf))),
  });
  return probeHost(source);
}

function deviceLines(bdf: string, group: number, smmu: number): string[] {
  const home = `/sys/devices/pci${bdf.slice(0, 4)}:00/${bdf}`;
  const name = `smmu3.0x000000000${5 + smmu}000000`;
  return [
    `L /sys/bus/pci/devices/${bdf} -> ../../../devices/pci${bdf.slice(0, 4)}:00/${bdf}`,
    ...Object.entries({ vendor: '0x10de', device: '0x2941', class: '0x030200', numa_node: String(smmu) }).map(
      ([file, value]) => `F ${home}/${file} mode=444 = ${JSON.stringify(`${value}\n`)}`,
    ),
    `F ${home}/reset_method mode=644 = "flr bus\\n"`,
    `L ${home}/driver -> ../../../bus/pci/drivers/vfio-pci`,
    `L ${home}/iommu -> ../../platform/arm-smmu-v3.${smmu}.auto/iommu/${name}`,
    `L ${home}/iommu_group -> ../../../kernel/iommu_groups/${group}`,
    `L /sys/kernel/iommu_groups/${group}/devices/${bdf} -> ../../../../devices/${bdf}`,
    `D ${home}/vfio-dev/vfio${group}`,
    `DEV /dev/vfio/${group}`,
    `DEV /dev/vfio/devices/vfio${group}`,
  ];
}

/** PCI Express with ATS at 0x100 and PASID, 20 bits, behind it. */
const CONFIG_ROWS = (() => {
  const bytes = Buffer.alloc(0x120);
  bytes.writeUInt16LE(0x10, 6);
  bytes[0x34] = 0x40;
  bytes[0x40] = 0x10;
  bytes.writeUInt32LE(((0x110 << 20) | 0x1000f) >>> 0, 0x100);
  bytes.writeUInt32LE(0x1001b, 0x110);
  bytes.writeUInt16LE(0x1400, 0x114);
  return Array.from({ length: bytes.length / 16 }, (_, row) => {
    const values = [...bytes.subarray(row * 16, row * 16 + 16)].map((byte) =>
      byte.toString(16).padStart(2, '0'),
    );
    return `${(row * 16).toString(16).padStart(2, '0')}: ${values.join(' ')}`;
  }).join('\n');
})();

/** Registers of a Grace-like SMMU, and a nesting that was allowed. */
function answers(bdf: string): object[] {
  const struct = Buffer.alloc(40);
  struct.writeUInt32LE(40, 0);
  struct.writeUInt32LE(40, 12);
  struct.writeUInt32LE(2, 24);
  struct[28] = 20;
  const data = Buffer.alloc(40);
  [0x0d4c169b, 0x02730510, 0, 0x1404, 0, 0x75].forEach((word, n) => data.writeUInt32LE(word, 8 + 4 * n));
  const query = { bdf, size: 40, flags: 0, in_type: 0, in_len: 40, rc: 0, errno: 0 };
  return [
    { ...query, struct_hex: struct.toString('hex'), data_hex: data.toString('hex') },
    { bdf, query: 'nesting', step: 'viommu-alloc', rc: 0, errno: 0 },
  ];
}

/** A NodeProfile as the API server stores and sends it, field managers included. */
export function profileObject(report: HostReport, node: string): object {
  const spec = describeNode(report, node);
  const time = '2026-11-25T12:00:00Z';
  return {
    apiVersion: apiVersionOf(NODE_PROFILES),
    kind: NODE_PROFILES.kind,
    metadata: {
      name: node,
      uid: '5c1f9d0e-0001-4000-8000-000000000001',
      resourceVersion: '123456',
      generation: 3,
      creationTimestamp: time,
      // Lists of the schema are atomic: a manager's entry names fields, not devices.
      managedFields: ['spec', 'status'].map((part) => ({
        manager: 'vsmmu-agent',
        operation: 'Apply',
        apiVersion: apiVersionOf(NODE_PROFILES),
        time,
        fieldsType: 'FieldsV1',
        fieldsV1: { [`f:${part}`]: { 'f:a': {}, 'f:b': {}, 'f:c': {}, 'f:d': {}, 'f:e': {} } },
        ...(part === 'status' ? { subresource: 'status' } : {}),
      })),
    },
    spec,
    status: {
      renewedAt: '2026-11-25T12:00:00.000Z',
      conditions: [
        {
          type: 'Complete',
          status: 'True',
          reason: 'EverythingRead',
          message: 'every SMMU and device could be read',
          lastTransitionTime: time,
        },
      ],
    },
  };
}
