/** The endpoints of a probe's report, in the short form of a machine's truth. */
export function endpointsOf(report) {
  const index = new Map(report.smmus.map(({ name }, position) => [name, position]));
  const endpoints = report.devices.filter(({ classCode, bdf }) => !isBridge(classCode) && bdf !== OUTPUT);
  return Object.fromEntries(
    endpoints.map((device) => [
      device.bdf,
      [
        `${hex(device.vendor)}:${hex(device.device)}`,
        device.driver ?? '-',
        index.get(device.smmu.value) ?? '-',
        device.numaNode.value ?? '-',
        device.atsCapability.value === true ? 'ATS' : '-',
      ].join(' '),
    ]),
  );
}

/** The virtio console through which the guest hands out its findings; no part of what is tested. */
const OUTPUT = '0000:00:1e.0';

/** PCI base class 0x06: host bridges, switch ports, expanders. */
function isBridge(classCode) {
  return classCode >> 16 === 0x06;
}

function hex(id) {
  return id.toString(16).padStart(4, '0');
}

/**
 * A report without what tells a live host from a recording of it: where it came from, and what was read to know it.
 * Every value, and every reason for an unknown one, stays.
 */
export function valuesOf(report) {
  return JSON.parse(
    JSON.stringify(report, (key, value) => (key === 'evidence' || key === 'origin' ? undefined : value)),
  );
}
