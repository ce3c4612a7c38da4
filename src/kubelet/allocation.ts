import { compareBdf, parseBdf, type Bdf } from '../bdf.js';
import { VsmmuError } from '../errors.js';
import type { ContainerAllocateResponse } from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import type { Init } from '../grpc/message.js';
import type { HostSource } from '../host/host-source.js';
import { checkDevice, IOMMUFD_NODE, isPresent, type DeviceNodes } from './device-nodes.js';
import type { PciCdiSpec } from './pci-cdi-spec.js';
import { refuseBusyGroup, type BusyCheck } from './group-busy.js';
import type { GroupClaims, Holder } from './group-claims.js';
import type { PluginDevice } from './plugin-device.js';
import { environmentVariable, type ResourceName } from './resource-name.js';

/**
 * auto: /dev/iommu goes with devices that all have a cdev. never: another plugin gives it, such as KubeVirt's
 * devices.kubevirt.io/iommufd.
 */
export const IOMMUFD_POLICIES = ['auto', 'never'] as const;
export type IommufdPolicy = (typeof IOMMUFD_POLICIES)[number];

export type ContainerAllocation = Init<ContainerAllocateResponse>;

export interface AllocationContext {
  readonly resource: ResourceName;
  readonly devices: ReadonlyMap<Bdf, PluginDevice>;
  readonly source: Pick<HostSource, 'readLink' | 'list' | 'exists'>;
  /** undefined: not asked, as of a recording. */
  readonly isBusy?: BusyCheck | undefined;
  readonly claims: GroupClaims;
  readonly settings: AllocationSettings;
}

/** May change between two calls, with the configuration. */
export interface AllocationSettings {
  readonly iommufd: IommufdPolicy;
  /** Hand the nodes out by CDI instead of by the kubelet; undefined: by the kubelet. */
  readonly cdi: PciCdiSpec | undefined;
}

/**
 * What one container gets for the devices the kubelet chose. Every device is checked against the host as it is at
 * this moment, because the pod is admitted on this answer.
 *
 * @throws VsmmuError DEVICE_NOT_ADVERTISED, DEVICE_CHANGED, DEVICE_BUSY, GROUP_TAKEN, CDI_UNWRITABLE; nothing is claimed
 * then.
 */
export async function allocate(
  ids: readonly string[],
  context: AllocationContext,
): Promise<ContainerAllocation> {
  const devices = requested(ids, context);
  const nodes = devices.map((device) => ({ device, nodes: nodesOf(device, context) }));
  const holder = `resource ${context.resource}` as const;
  // Who has it tells more than that it is busy, so claims come first; and again, as others come in while it waits.
  refuseTakenGroups(devices, context.claims, holder);
  await refuseBusyGroups(nodes, context.isBusy);
  refuseTakenGroups(devices, context.claims, holder);
  const handedOver = handOver(nodes, context);
  context.claims.claim(devices, holder);
  return {
    // virt-launcher pops addresses in this order; the kubelet's order is that of a hash.
    envs: { [environmentVariable(context.resource)]: devices.map(({ bdf }) => bdf).join(',') },
    ...handedOver,
  };
}

function requested(ids: readonly string[], { resource, devices }: AllocationContext): PluginDevice[] {
  const found = [...new Set(ids)].map((id) => {
    const bdf = parseBdf(id);
    const device = bdf === undefined ? undefined : devices.get(bdf);
    if (device !== undefined) return device;
    throw new VsmmuError('DEVICE_NOT_ADVERTISED', `${resource} has no device "${id}".`, {
      place: id,
      remedy: 'Start the pod again; the kubelet asked from an outdated list.',
    });
  });
  return found.sort((a, b) => compareBdf(a.bdf, b.bdf));
}

function nodesOf(device: PluginDevice, { source }: AllocationContext): DeviceNodes {
  const live = checkDevice(source, device);
  if (live.ok) return live.nodes;
  throw new VsmmuError('DEVICE_CHANGED', `${live.problem}.`, { place: device.bdf, remedy: live.remedy });
}

function refuseTakenGroups(devices: readonly PluginDevice[], claims: GroupClaims, holder: Holder): void {
  const together = new Set(devices.map(({ bdf }) => bdf));
  for (const device of devices) {
    const rivals = claims.rivals(device, together, holder);
    if (rivals.length === 0) continue;
    throw new VsmmuError(
      'GROUP_TAKEN',
      `IOMMU group ${device.iommuGroup} is in use through ${rivals.join(', ')}; a group belongs to one VM.`,
      {
        place: device.bdf,
        remedy: `Ask for ${[device.bdf, ...rivals].join(' and ')} in one container, or wait.`,
      },
    );
  }
}

async function refuseBusyGroups(handed: readonly Handed[], isBusy: BusyCheck | undefined): Promise<void> {
  if (isBusy === undefined) return;
  for (const { device, nodes } of handed) await refuseBusyGroup(device.bdf, nodes.group, isBusy);
}

interface Handed {
  readonly device: PluginDevice;
  readonly nodes: DeviceNodes;
}

function handOver(handed: readonly Handed[], { settings, source }: AllocationContext): ContainerAllocation {
  const { cdi, iommufd } = settings;
  if (cdi !== undefined) {
    cdi.put(new Map(handed.map(({ device, nodes }) => [device.bdf, nodePaths([nodes], iommufd, source)])));
    return { cdiDevices: handed.map(({ device }) => ({ name: cdi.idOf(device.bdf) })) };
  }
  const paths = nodePaths(
    handed.map(({ nodes }) => nodes),
    iommufd,
    source,
  );
  return { devices: paths.map((path) => ({ containerPath: path, hostPath: path, permissions: 'mrw' })) };
}

/** Every node that these devices need, each once. */
export function nodePaths(
  nodes: readonly DeviceNodes[],
  iommufd: IommufdPolicy,
  source: Pick<HostSource, 'exists'>,
): string[] {
  // KubeVirt's launcher skips all ownership fixes where /dev/vfio/vfio is absent, so it always goes along.
  const paths = new Set(nodes.flatMap(({ container, group }) => [container, group]));
  for (const { cdev } of nodes) if (cdev !== undefined) paths.add(cdev);
  const wantsIommufd = iommufd === 'auto' && nodes.every(({ cdev }) => cdev !== undefined);
  if (wantsIommufd && isPresent(source, IOMMUFD_NODE)) paths.add(IOMMUFD_NODE);
  return [...paths];
}
