import { parseBdf, type Bdf } from '../../bdf.js';
import { DRA_DRIVER } from '../../cluster/dra-resources.js';
import type { DeviceReport, HostReport, SmmuReport } from '../../host/report.js';
import { valueOf, type Answer } from '../../smmu/answer.js';
import { smmuOf } from '../config/selector.js';
import { takeInventory } from '../inventory.js';
import type { PluginDevice } from '../plugin-device.js';
import { parseResourceName } from '../resource-name.js';

/** As in resource.k8s.io/v1 DeviceAttribute; exactly one of them. */
export type Attribute = { readonly string: string } | { readonly bool: boolean } | { readonly int: number };
export type Attributes = Readonly<Record<string, Attribute>>;

export interface DraDevice {
  /** A DNS label: "pci-0009-01-00-0". */
  readonly name: string;
  readonly device: PluginDevice;
  readonly attributes: Attributes;
}

export function draDeviceName(bdf: Bdf): string {
  return `pci-${bdf.replace(/[:.]/g, '-')}`;
}

/** @returns undefined where {@link draDeviceName} gives no such name */
export function bdfOfDraDevice(name: string): Bdf | undefined {
  const [prefix, domain, bus, slot, fn, ...more] = name.split('-');
  return prefix === 'pci' && more.length === 0 ? parseBdf(`${domain}:${bus}:${slot}.${fn}`) : undefined;
}

/** Every device on a VFIO driver; those that can't be handed out now are unhealthy, with the reason. */
export function draDevices(host: HostReport): DraDevice[] {
  const reports = new Map(host.devices.map((report) => [report.bdf, report]));
  const everything = parseResourceName(`${DRA_DRIVER}/all`);
  const { resources } = takeInventory({ host, naming: () => ({ resource: everything }) });
  return (resources.get(everything) ?? []).flatMap((device) => {
    const report = reports.get(device.bdf);
    return report === undefined
      ? []
      : [{ name: draDeviceName(device.bdf), device, attributes: attributesOf(report, host) }];
  });
}

/** resource.k8s.io/v1: at most 64 characters in a string attribute. */
const STRING_MAX = 64;

/**
 * A selector that reads an attribute which a device lacks is an error that stops scheduling, so every device has all
 * of the driver's own. What is not known is false or 0, as if it were absent, and named in `unknown`; a scheduler
 * that asks for a feature never gets a device that may lack it.
 */
export function attributesOf(report: DeviceReport, host: HostReport): Attributes {
  const smmu = smmuOf(report, host);
  const limits = smmu?.features.limits;
  const pasidBits = valueOf(report.effectivePasidBits);
  const known: Readonly<Record<string, boolean | number | undefined>> = {
    ats: valueOf(report.effectiveAts),
    pasid: pasidBits === undefined ? undefined : pasidBits > 0,
    pasidBits,
    ssidsize: limits?.ssidsize,
    oas: limits?.oas,
    ril: limits?.ril,
    cmdqv: answered(smmu?.cmdqv),
    accel: answered(smmu?.accel),
  };
  const numbers = new Set(['pasidBits', 'ssidsize', 'oas']);
  const features = Object.entries(known).map(([name, value]): [string, Attribute] => [
    name,
    numbers.has(name) ? { int: Number(value ?? 0) } : { bool: value === true },
  ]);
  const unknown = Object.keys(known).filter((name) => known[name] === undefined);
  return {
    ...standardAttributes(report),
    ...Object.fromEntries(features),
    unknown: text(unknown.join(',')),
    smmu: text(smmuName(report, smmu)),
    iommuGroup: { int: valueOf(report.iommuGroup) ?? -1 },
    groupSize: { int: report.groupMates.length + 1 },
    vendor: text(hex(report.vendor, 4)),
    device: text(hex(report.device, 4)),
    class: text(hex(report.classCode, 6)),
    driver: text(report.driver ?? ''),
  };
}

/** Absent where unknown: no value of theirs means "unknown". Names of k8s.io/dynamic-resource-allocation deviceattribute. */
function standardAttributes(report: DeviceReport): Attributes {
  const root = valueOf(report.pcieRoot);
  const numa = valueOf(report.numaNode);
  return {
    'resource.kubernetes.io/pciBusID': text(report.bdf),
    ...(root !== undefined && { 'resource.kubernetes.io/pcieRoot': text(root) }),
    ...(numa !== undefined && numa !== null && { 'resource.kubernetes.io/numaNode': { int: numa } }),
  };
}

/** Unknown SMMUs must differ from each other, or "both behind one SMMU" would hold for them. */
function smmuName(report: DeviceReport, smmu: SmmuReport | undefined): string {
  return valueOf(report.smmu) ?? smmu?.name ?? `unknown of ${report.bdf}`;
}

function answered(answer: Answer<boolean> | undefined): boolean | undefined {
  return answer === undefined ? undefined : valueOf(answer);
}

function text(value: string): Attribute {
  return { string: value.slice(0, STRING_MAX) };
}

function hex(value: number | undefined, digits: number): string {
  return value === undefined ? 'unknown' : value.toString(16).padStart(digits, '0');
}
