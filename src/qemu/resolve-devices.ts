import { parseBdf, type Bdf } from '../bdf.js';
import type { ErrorCode } from '../error-codes.js';
import { atsToWrite } from '../smmu/ats.js';
import type { HostFeatures } from '../smmu/features.js';
import type { AskedVsmmu, OnOff, OnOffAuto } from '../smmu/properties.js';
import { resolveVsmmu, type BehindDevice } from '../smmu/resolve.js';
import { BusTree, busOf, isBridge, ROOT_BUS } from './bus-tree.js';
import type { DeviceOption } from './device-option.js';

/** A `-device` of the command line and its number there, from 0. */
export interface NumberedDevice {
  readonly index: number;
  readonly option: DeviceOption;
}

export interface DeviceFinding {
  readonly index: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

export interface DevicePlan {
  /** Properties to set, by the device's number. */
  readonly values: ReadonlyMap<number, readonly (readonly [name: string, value: string])[]>;
  readonly findings: readonly DeviceFinding[];
}

/** Properties of arm-smmuv3 that `auto` may stand for; absent ones are `auto` too, from QEMU 11.1 on. */
const RESOLVED = ['ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const;

/** Devices that are no PCI devices, or whose bus is not a PCI one. */
const NOT_PCI = /^(arm-smmuv3|virtconsole|virtserialport|usb-|scsi-|ide-|isa-|.*-device$|tpm-|nvme-ns)/;

/** Resolves every arm-smmuv3 of a command line for the vfio-pci devices behind it. */
export function planDevices(devices: readonly NumberedDevice[], host: HostFeatures): DevicePlan {
  return new DevicePlanner(devices, host).plan();
}

class DevicePlanner {
  readonly #devices: readonly NumberedDevice[];
  readonly #host: HostFeatures;
  readonly #buses: BusTree;
  readonly #values = new Map<number, readonly (readonly [string, string])[]>();
  readonly #findings: DeviceFinding[] = [];

  constructor(devices: readonly NumberedDevice[], host: HostFeatures) {
    this.#devices = devices;
    this.#host = host;
    this.#buses = new BusTree(devices.map(({ option }) => option));
  }

  plan(): DevicePlan {
    const served = new Set<string>();
    for (const smmu of this.#devices.filter(({ option }) => option.driver === 'arm-smmuv3')) {
      const bus = smmu.option.properties.get('primary-bus') ?? ROOT_BUS;
      if (!this.#buses.isRoot(bus))
        this.#refuse(
          smmu,
          'IOMMU_BUS',
          `primary-bus=${bus} is neither pcie.0 nor a pxb-pcie`,
          'Name one of these.',
        );
      else if (served.has(bus))
        this.#refuse(smmu, 'IOMMU_BUS', `a second arm-smmuv3 on ${bus}`, 'Leave one vSMMU on a bus.');
      else this.#planSmmu(smmu, bus);
      served.add(bus);
    }
    return { values: this.#values, findings: this.#findings };
  }

  #planSmmu(smmu: NumberedDevice, bus: string): void {
    const accel = isOn(smmu.option.properties.get('accel'));
    const behind = this.#devices.filter(
      ({ option }) => this.#isEndpoint(option) && this.#buses.rootAbove(busOf(option)) === bus,
    );
    const passthrough = behind.filter(({ option }) => isVfio(option));
    if (accel) for (const other of behind) if (!isVfio(other.option)) this.#refuseEmulated(other, smmu);
    const known = accel ? this.#known(passthrough) : new Map<NumberedDevice, BehindDevice>();
    const asked = this.#asked(smmu, accel);
    if (known === undefined || asked === undefined) return;
    const resolution = resolveVsmmu(asked, [...known.values()]);
    if (!resolution.ok) {
      for (const { code, message, remedy } of resolution.errors) this.#refuse(smmu, code, message, remedy);
      return;
    }
    const written = RESOLVED.filter((name) => this.#isAuto(smmu, name, accel)).map(
      (name) => [name, String(resolution.vsmmu[name])] as const,
    );
    if (written.length > 0) this.#values.set(smmu.index, written);
    for (const [device, features] of known) this.#planAts(device, features, resolution.vsmmu.ats);
  }

  /** CMDQV is written only where it stands: a QEMU that doesn't know it would refuse to start. */
  #isAuto({ option }: NumberedDevice, name: string, accel: boolean): boolean {
    const value = option.properties.get(name);
    return value === 'auto' || (value === undefined && accel && name !== 'cmdqv');
  }

  #planAts(device: NumberedDevice, behind: BehindDevice, vsmmuAts: OnOff): void {
    if (behind.ats !== 'auto') return;
    const value = atsToWrite(vsmmuAts, behind.features);
    if (value !== undefined) this.#values.set(device.index, [['ats', value]]);
  }

  #isEndpoint(option: DeviceOption): boolean {
    return !isBridge(option) && !NOT_PCI.test(option.driver);
  }

  #refuseEmulated(device: NumberedDevice, smmu: NumberedDevice): void {
    this.#refuse(
      device,
      'EMULATED_DEVICE',
      `it is emulated and stands behind ${nameOf(smmu.option)}, which is accelerated`,
      'Move it to another bus.',
    );
  }

  #known(passthrough: readonly NumberedDevice[]): ReadonlyMap<NumberedDevice, BehindDevice> | undefined {
    const known = new Map<NumberedDevice, BehindDevice>();
    for (const device of passthrough) {
      const bdf = hostAddress(device.option);
      const features = bdf === undefined ? undefined : this.#host.devices.get(bdf);
      const ats = onOffAuto(device.option.properties.get('ats'));
      if (features === undefined) this.#refuseUnknown(device, bdf);
      else if (ats === undefined) this.#refuseValue(device, 'ats');
      else known.set(device, { features, ats, coldPlugged: true });
      if (!device.option.properties.has('iommufd'))
        this.#refuse(
          device,
          'IOMMUFD_REQUIRED',
          'it has no iommufd backend and stands behind an accelerated vSMMU',
          'Add -object iommufd,id=iommufd0 and iommufd=iommufd0 to the device.',
        );
    }
    return known.size === passthrough.length ? known : undefined;
  }

  #refuseUnknown(device: NumberedDevice, bdf: Bdf | undefined): void {
    this.#refuse(
      device,
      'HOSTDEV_UNKNOWN',
      bdf === undefined
        ? 'it names no host device: neither host= nor sysfsdev='
        : `host device ${bdf} is not on ${this.#host.origin}`,
      bdf === undefined
        ? 'Add host=<BDF>; a file descriptor alone does not tell which device it is.'
        : 'Name the host the VM will run on (--host), or correct the address.',
    );
  }

  #asked({ option, index }: NumberedDevice, accel: boolean): AskedVsmmu | undefined {
    const of = (name: string) => option.properties.get(name);
    const bits = (name: string) => (/^\d{1,3}$/.test(of(name) ?? '') ? Number(of(name)) : undefined);
    const auto = (name: string) => ['auto', undefined].includes(of(name));
    const asked = {
      ats: onOffAuto(of('ats')),
      ril: onOffAuto(of('ril')),
      ssidsize: auto('ssidsize') ? ('auto' as const) : bits('ssidsize'),
      oas: auto('oas') ? ('auto' as const) : bits('oas'),
      cmdqv: onOffAuto(of('cmdqv')),
    };
    const { ats, ril, ssidsize, oas, cmdqv } = asked;
    for (const name of RESOLVED) if (asked[name] === undefined) this.#refuseValue({ option, index }, name);
    if (ats === undefined || ril === undefined || ssidsize === undefined) return undefined;
    if (oas === undefined || cmdqv === undefined) return undefined;
    return { accel, ats, ril, ssidsize, oas, cmdqv };
  }

  #refuseValue(device: NumberedDevice, name: string): void {
    const value = device.option.properties.get(name) ?? '';
    this.#refuse(
      device,
      'DOMAIN_VALUE',
      `${name}=${value} is not a value of this property`,
      'Correct the value.',
    );
  }

  #refuse({ index, option }: NumberedDevice, code: ErrorCode, message: string, remedy: string): void {
    this.#findings.push({ index, code, message: `${nameOf(option)}: ${message}`, remedy });
  }
}

function nameOf({ driver, properties }: DeviceOption): string {
  const id = properties.get('id');
  return id === undefined ? driver : `${driver} ${id}`;
}

function isVfio({ driver }: DeviceOption): boolean {
  return driver === 'vfio-pci' || driver === 'vfio-pci-nohotplug';
}

function isOn(value: string | undefined): boolean {
  return value === 'on' || value === 'true' || value === 'yes';
}

/** Absent means auto, for arm-smmuv3 and vfio-pci alike (QEMU 11.1). */
function onOffAuto(value: string | undefined): OnOffAuto | undefined {
  if (value === undefined || value === 'auto') return 'auto';
  return value === 'on' || value === 'off' ? value : undefined;
}

/** `host=0009:01:00.0`, `host=01:00.0`, or the last part of `sysfsdev=`. */
function hostAddress({ properties }: DeviceOption): Bdf | undefined {
  const text = properties.get('host') ?? properties.get('sysfsdev')?.split('/').at(-1) ?? '';
  return parseBdf(text) ?? parseBdf(`0000:${text}`);
}
