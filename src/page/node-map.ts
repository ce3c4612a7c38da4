import type { NodeProfileSpec, ProfileDevice, ProfileSmmu } from '../cluster/node-profile-schema.js';
import type { HostMap, MapDevice, MapFact, MapGroup, MapSmmu } from '../map/host-map.js';
import type { YesNoUnknown } from '../smmu/answer.js';

/** The picture of a node as its profile tells it: without bridges and root complexes, which profiles leave out. */
export function mapOfProfile(spec: NodeProfileSpec): HostMap {
  return {
    title: spec.node,
    subtitle: `Linux ${spec.kernel ?? 'of unknown version'}`,
    smmus: spec.smmus.map((smmu) =>
      mapSmmu(
        smmu,
        spec.devices.filter((device) => device.smmu === smmu.name),
      ),
    ),
    findings: [],
  };
}

function mapSmmu(smmu: ProfileSmmu, devices: readonly ProfileDevice[]): MapSmmu {
  const { limits, obstacles = [], evidence = [] } = smmu;
  const because = evidence.join(', ');
  const fact = (label: string, value: string | number | undefined): MapFact => ({
    label,
    state: value === undefined ? 'unknown' : value === 'off' || value === 0 ? 'no' : 'yes',
    text: value === undefined ? 'unknown' : String(value),
    because,
  });
  return {
    label: smmu.name,
    facts: [
      fact('accel', smmu.accel === 'on' ? 'on' : limits === undefined ? undefined : 'off'),
      fact('ATS', limits?.ats),
      fact('RIL', limits?.ril),
      fact('SSIDSIZE', limits?.ssidsize),
      fact('OAS', limits?.oas),
      fact('CMDQV', limits?.cmdqv),
    ],
    notes: obstacles.map(({ message }) => `No accel: ${message}`),
    roots: [...groupBy(devices, ({ bdf }) => `PCI domain ${bdf.split(':', 1)[0] ?? ''}`)].map(
      ([label, members]) => ({ label, groups: mapGroups(members) }),
    ),
  };
}

function mapGroups(devices: readonly ProfileDevice[]): MapGroup[] {
  const groups = groupBy(devices, ({ iommuGroup }) => `IOMMU group ${iommuGroup ?? 'unknown'}`);
  return [...groups].map(([label, members]) => ({ label, devices: members.map(mapDevice) }));
}

function mapDevice(device: ProfileDevice): MapDevice {
  const { vendor = '????', device: id = '????', pasidBits: pasid, numaNode, because = '' } = device;
  const numa = numaNode === undefined ? [] : [`NUMA ${numaNode}`];
  const pasidState: YesNoUnknown = pasid === undefined ? 'unknown' : pasid > 0 ? 'yes' : 'no';
  return {
    bdf: device.bdf,
    kind: `${vendor}:${id}`,
    detail: [device.driver ?? 'no driver', ...numa].join(' · '),
    bridge: false,
    ready: device.ready,
    facts: [
      { label: 'ATS', state: device.ats, text: device.ats, because },
      {
        label: 'PASID',
        state: pasidState,
        text: pasid === undefined ? 'unknown' : `${pasid} bits`,
        because,
      },
    ],
    notes: because === '' ? [] : [because],
  };
}

function groupBy<T>(all: readonly T[], labelOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(labelOf(one), [...(groups.get(labelOf(one)) ?? []), one]);
  return groups;
}
