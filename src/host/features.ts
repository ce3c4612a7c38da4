import { valueOf } from '../smmu/answer.js';
import { unknownSmmu } from '../smmu/compatibility.js';
import type { DeviceFeatures, HostFeatures, KernelAts, SmmuFeatures } from '../smmu/features.js';
import type { Bdf } from '../bdf.js';
import { pciModelOf } from './pci-model.js';
import type { DeviceReport, HostReport } from './report.js';

/** What the resolution rules need of a probed host: every PCI function, whether or not it can be passed through. */
export function featuresOf(report: HostReport): HostFeatures {
  const smmus = new Map(report.smmus.map((smmu) => [smmu.name, smmu.features]));
  const devices = new Map<Bdf, DeviceFeatures>();
  for (const device of report.devices) devices.set(device.bdf, deviceFeatures(device, smmus));
  return { origin: report.origin, devices };
}

function deviceFeatures(device: DeviceReport, smmus: ReadonlyMap<string, SmmuFeatures>): DeviceFeatures {
  const kernelAts: KernelAts = device.kernelAts.known ? device.kernelAts.value : 'silent';
  return {
    bdf: device.bdf,
    smmu: (device.smmuReport === undefined ? undefined : smmus.get(device.smmuReport)) ?? noSmmu(device),
    kernelAts,
    atsCapability: valueOf(device.atsCapability),
    numaNode: valueOf(device.numaNode) ?? undefined,
    model: pciModelOf(device),
  };
}

function noSmmu(device: DeviceReport): SmmuFeatures {
  return device.smmu.known
    ? unknownSmmu(device.smmu.value, 'the SMMU was not probed', 'Probe the host again.')
    : unknownSmmu(undefined, device.smmu.because, device.smmu.remedy);
}
