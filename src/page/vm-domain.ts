import type { Bdf } from '../bdf.js';
import { defaultResourceOf, isDefaultResource } from '../fleet/profile-host.js';
import type { NodeProfile } from '../cluster/node-profile.js';
import type { DeviceRequest } from '../kubevirt/vmi.js';

/** A device of the node that stands for a request of the VMI. */
export interface StandIn {
  /** Of the request: "gpu0". */
  readonly name: string;
  readonly list: DeviceRequest['list'];
  readonly bdf: Bdf;
}

/**
 * Which of a node's devices a VMI has is known to its kubelet and its pod only. Its first ready ones of the right name
 * stand for them: those of one name differ in address and in the SMMU in front.
 *
 * @returns fewer than requests where the node has fewer
 */
export function standIns(requests: readonly DeviceRequest[], { devices }: NodeProfile): StandIn[] {
  const taken = new Set<Bdf>();
  return requests.flatMap(({ name, list, deviceName }): StandIn[] => {
    if (deviceName === undefined) return [];
    const found = [...devices].find(
      ([bdf, device]) =>
        device.ready &&
        !taken.has(bdf) &&
        (!isDefaultResource(deviceName) || defaultResourceOf(device) === deviceName),
    );
    if (found === undefined) return [];
    taken.add(found[0]);
    return [{ name, list, bdf: found[0] }];
  });
}

/**
 * The part of a domain that KubeVirt makes of passed-through devices (v1.9, pkg/virt-launcher/virtwrap/converter).
 *
 * @param withVsmmus as its gate GraceIOVirtualization does: each device behind a bus and a vSMMU of its own, with
 *   constants; otherwise devices alone
 */
export function kubevirtDomain(devices: readonly StandIn[], withVsmmus: boolean): string {
  const buses = withVsmmus ? devices.map((_, index) => bus(index)) : [];
  const lines = [
    "<domain type='kvm'>",
    '  <os>',
    "    <type arch='aarch64' machine='virt'>hvm</type>",
    '  </os>',
    '  <devices>',
    "    <controller type='pci' index='0' model='pcie-root'/>",
    ...buses.flat(),
    ...devices.flatMap((device, index) => hostdev(device, withVsmmus ? index : undefined)),
    ...(withVsmmus ? devices.flatMap((_, index) => vsmmu(index)) : []),
    '  </devices>',
    '</domain>',
  ];
  return `${lines.join('\n')}\n`;
}

/** Controller indices: an expander bus and a root port for each device. */
const expanderOf = (index: number) => 1 + 2 * index;
const portOf = (index: number) => 2 + 2 * index;

function bus(index: number): string[] {
  return [
    `    <controller type='pci' index='${expanderOf(index)}' model='pcie-expander-bus'>`,
    // Downwards from 254, two a device, as KubeVirt numbers them.
    `      <target busNr='${254 - 2 * index}'/>`,
    '    </controller>',
    `    <controller type='pci' index='${portOf(index)}' model='pcie-root-port'>`,
    `      <address type='pci' domain='0x0000' bus='${hex(expanderOf(index), 2)}' slot='0x00' function='0x0'/>`,
    '    </controller>',
  ];
}

function hostdev({ name, list, bdf }: StandIn, index: number | undefined): string[] {
  const [domain = '', host = '', slot = '', fn = ''] = bdf.split(/[:.]/);
  const guest =
    index === undefined
      ? []
      : [
          `      <address type='pci' domain='0x0000' bus='${hex(portOf(index), 2)}' slot='0x00' function='0x0'/>`,
        ];
  return [
    "    <hostdev mode='subsystem' type='pci' managed='no'>",
    ...(index === undefined ? [] : ["      <driver iommufd='yes'/>"]),
    '      <source>',
    `        <address domain='0x${domain}' bus='0x${host}' slot='0x${slot}' function='0x${fn}'/>`,
    '      </source>',
    `      <alias name='ua-${list === 'gpus' ? 'gpu' : 'hostdevice'}-${safe(name)}'/>`,
    ...guest,
    '    </hostdev>',
  ];
}

function vsmmu(index: number): string[] {
  return [
    "    <iommu model='smmuv3'>",
    `      <driver pciBus='${expanderOf(index)}' accel='on' ats='on' ril='off' ssidSize='20' oas='48'/>`,
    '    </iommu>',
  ];
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** A VMI's own text must not become XML. */
function safe(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_.-]/g, '_');
}
