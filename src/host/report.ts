import type { Bdf } from '../bdf.js';
import type { ErrorCode } from '../error-codes.js';
import type { Answer } from '../smmu/answer.js';
import type { SmmuFeatures } from '../smmu/features.js';
import type { IdrWords, SmmuRegisters } from '../smmu/registers.js';

/** Something about the host that a person should know; not an error of the probe itself. */
export interface Finding {
  readonly code: ErrorCode;
  /** A BDF, an SMMU's name, a path; "host" where it concerns all of it. */
  readonly subject: string;
  readonly message: string;
  readonly remedy: string;
}

export type KernelOption =
  | 'IOMMUFD'
  | 'VFIO'
  | 'VFIO_PCI'
  | 'VFIO_DEVICE_CDEV'
  | 'ARM_SMMU_V3'
  | 'ARM_SMMU_V3_IOMMUFD'
  | 'TEGRA241_CMDQV'
  | 'PCI_ATS'
  | 'PCI_PRI'
  | 'PCI_PASID';
export type KernelOptions = Readonly<Record<KernelOption, Answer<'y' | 'm' | 'n'>>>;

export interface KernelReport {
  /** "6.12.117+deb12-arm64" */
  readonly release: Answer<string>;
  readonly commandLine: Answer<string>;
  /** Does this kernel set out_capabilities bit 3 at all? Decided by the canary before the version number. */
  readonly reportsAts: Answer<boolean>;
  /** Booted with pci=noats: then no device has ATS. */
  readonly noAts: Answer<boolean>;
  readonly options: KernelOptions;
}

export interface SmmuReport {
  /** Name in /sys/class/iommu: "smmu3.0x0000000009050000". */
  readonly name: string;
  /** false: sysfs did not name it, `name` only tells it apart from others in this report. */
  readonly named: boolean;
  readonly registers: Answer<{ readonly words: IdrWords; readonly decoded: SmmuRegisters }>;
  readonly cmdqv: Answer<boolean>;
  /** Did the kernel allocate a nesting parent and a vIOMMU? What the registers allow, it may still refuse. */
  readonly nesting: Answer<boolean>;
  /** Can an accelerated vSMMU use it? */
  readonly accel: Answer<boolean>;
  readonly features: SmmuFeatures;
}

export type SriovRole =
  | { readonly role: 'none' }
  | {
      readonly role: 'physical';
      readonly total: number;
      readonly enabled: number;
      readonly virtualFunctions: readonly Bdf[];
    }
  | { readonly role: 'virtual'; readonly physicalFunction: Bdf }
  | { readonly role: 'unknown'; readonly because: string; readonly remedy: string };

/** A member of a device's IOMMU group. */
export interface GroupMate {
  readonly bdf: Bdf;
  readonly driver: string | undefined;
  /** Its driver does DMA of its own, so no member of the group can be passed through. */
  readonly hinders: boolean;
}

/** May a VM be given the device as it is now? */
export type Passthrough =
  | { readonly ready: true; readonly driver: string }
  | { readonly ready: false; readonly reason: string; readonly remedy: string };

export interface PasidCapability {
  /** PCIe PASID capability, Max PASID Width. */
  readonly maxWidth: number;
  readonly exec: boolean;
  readonly priv: boolean;
}

export interface DeviceReport {
  readonly bdf: Bdf;
  /** PCI ids, 16 bits each; class code, 24 bits. undefined where sysfs had none or it was garbled. */
  readonly vendor: number | undefined;
  readonly device: number | undefined;
  readonly classCode: number | undefined;
  readonly driver: string | undefined;
  readonly passthrough: Passthrough;
  /** Bound to vfio-pci or a variant driver of it; `passthrough` tells whether that is enough. */
  readonly vfio: boolean;
  /** Name of the SMMU in front of it. */
  readonly smmu: Answer<string>;
  /** `name` of its entry in HostReport.smmus, also where sysfs did not name the SMMU; undefined: it has none. */
  readonly smmuReport: string | undefined;
  readonly iommuGroup: Answer<number>;
  readonly groupMates: readonly Bdf[];
  /** The same with their drivers. */
  readonly groupMembers: readonly GroupMate[];
  /** "pci0009:00" */
  readonly pcieRoot: Answer<string>;
  /** In the order in which the kernel tries them. */
  readonly resetMethods: Answer<readonly string[]>;
  readonly sriov: SriovRole;
  /** null: the kernel says -1, "no node". Unknown: no such file (CONFIG_NUMA=n). */
  readonly numaNode: Answer<number | null>;
  /** "/dev/vfio/devices/vfio3", known only where the node itself exists. */
  readonly cdev: Answer<string>;
  /** Capabilities in config space; unknown where only 64 bytes were readable. PRI and PASID of a VF are its PF's. */
  readonly atsCapability: Answer<boolean>;
  readonly priCapability: Answer<boolean>;
  readonly pasidCapability: Answer<PasidCapability | null>;
  /** What IOMMU_GET_HW_INFO says of this device. */
  readonly kernelAts: Answer<'supported' | 'not-supported'>;
  readonly maxPasidLog2: Answer<number>;
  /** Firmware's word on the root complex: IORT, or the device tree. A no is definite. */
  readonly firmwareAts: Answer<boolean>;
  /** Did the kernel allocate a nesting parent and a vIOMMU with this device? */
  readonly nesting: Answer<boolean>;
  /** out_capabilities bits 1 and 2, for what PASID gives the guest. */
  readonly pasidExec: Answer<boolean>;
  readonly pasidPriv: Answer<boolean>;
  /** For scheduling: stricter than QEMU's auto (resolution rules, section 5). */
  readonly effectiveAts: Answer<boolean>;
  /** PASID bits a guest can use; 0 = none. */
  readonly effectivePasidBits: Answer<number>;
}

export interface HostReport {
  /** "this host" or "recording DIR". */
  readonly origin: string;
  readonly kernel: KernelReport;
  readonly smmus: readonly SmmuReport[];
  /** Every PCI function, in BDF order. */
  readonly devices: readonly DeviceReport[];
  readonly findings: readonly Finding[];
}
