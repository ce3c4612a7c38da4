import assert from 'node:assert/strict';

import { probeHost } from '../../src/host/probe.js';
import { recordingOf } from '../../src/host/recording.js';
import type { HostReport } from '../../src/host/report.js';
import { namingOf } from '../../src/kubelet/config/agent-config.js';
import { parseConfig } from '../../src/kubelet/config/config-file.js';
import { takeInventory } from '../../src/kubelet/inventory.js';
import { resourceNameFault } from '../../src/kubelet/resource-name.js';
import { Input } from './input.js';
import { resultOrRefusal } from './refusal.js';

const DEVICE = '/sys/devices/pci0009:00/0009:01:00.0';
const SYSFS = `L /sys/bus/pci/devices/0009:01:00.0 -> ../../../devices/pci0009:00/0009:01:00.0
F ${DEVICE}/vendor mode=444 = "0x10de\\n"
F ${DEVICE}/device mode=444 = "0x2941\\n"
F ${DEVICE}/class mode=444 = "0x030200\\n"
F ${DEVICE}/numa_node mode=644 = "1\\n"
L ${DEVICE}/driver -> ../../../bus/pci/drivers/vfio-pci
L ${DEVICE}/iommu -> ../../platform/arm-smmu-v3.4.auto/iommu/smmu3.0x0000000011000000
L ${DEVICE}/iommu_group -> ../../../kernel/iommu_groups/7
D ${DEVICE}/vfio-dev/vfio9
DEV /dev/vfio/devices/vfio9
DEV /dev/vfio/7
`;
let host: HostReport | undefined;

/**
 * The agent's configuration file: it is taken, or refused with the place of each fault; and whatever it says, a device
 * gets a name that the kubelet takes, at most once, or a reason.
 */
export async function fuzz(data: Uint8Array): Promise<void> {
  host ??= await probeHost(
    recordingOf('/recording', { sysfs: SYSFS, pciConfig: undefined, hwInfo: undefined }),
  );
  const text = new Input(data).text();
  const outcome = resultOrRefusal(() => parseConfig(text, 'agent.yaml'));
  if ('refused' in outcome) {
    assert.equal(outcome.refused, 'CONFIG_MALFORMED');
    return;
  }
  assert.deepEqual(parseConfig(text, 'agent.yaml'), outcome.value, 'read the same again');
  const { resources, notAdvertised } = takeInventory({ host, naming: namingOf(outcome.value) });
  for (const name of resources.keys()) assert.equal(resourceNameFault(name), undefined, name);
  for (const { reason } of notAdvertised) assert.notEqual(reason, '');
  const advertised = [...resources.values()].flat().map(({ bdf }) => bdf);
  assert.equal(advertised.length + notAdvertised.length, host.devices.length, 'every device once');
}
