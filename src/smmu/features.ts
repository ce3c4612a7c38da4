import type { Bdf } from '../bdf.js';
import type { ErrorCode } from '../error-codes.js';

/** The most a host SMMU offers; a vSMMU may ask for as much or for less. */
export interface SmmuLimits {
  readonly ats: boolean;
  readonly ril: boolean;
  /** Substream id bits, IDR1.SSIDSIZE. Not out_max_pasid_log2, which is the device's share of it. */
  readonly ssidsize: number;
  /** Output address bits. */
  readonly oas: number;
  /** undefined: the kernel was not asked, or could not say. */
  readonly cmdqv: boolean | undefined;
}

/** Why an accelerated vSMMU can't use a host SMMU at all, whatever its properties. */
export interface Obstacle {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

export interface SmmuFeatures {
  /** "smmu3.0x0000000009050000"; undefined where sysfs did not tell. */
  readonly name: string | undefined;
  /** undefined where the registers could not be read; `obstacles` then says why. */
  readonly limits: SmmuLimits | undefined;
  readonly obstacles: readonly Obstacle[];
}

/** What the kernel says of a device's ATS: iommu_hw_info.out_capabilities bit 3, which only Linux >= 7.1 sets. */
export type KernelAts = 'supported' | 'not-supported' | 'silent';

/** All that the rules need of one passthrough device. Made from a host report, a batch line or the VMI annotation. */
export interface DeviceFeatures {
  readonly bdf: Bdf;
  readonly smmu: SmmuFeatures;
  readonly kernelAts: KernelAts;
  /** Does config space show the ATS capability? undefined where it could not be read. */
  readonly atsCapability: boolean | undefined;
  /** Host NUMA node; undefined where the host has none to tell. */
  readonly numaNode: number | undefined;
  /** PCI ids "vendor:device", four hex digits each; undefined where they are not known. */
  readonly model?: string | undefined;
}

/** What a host can do, as the domain rewriter, the annotation and the device plugin see it. */
export interface HostFeatures {
  /** For messages: "this host", "recording ./node1", "node gpu-7". */
  readonly origin: string;
  readonly devices: ReadonlyMap<Bdf, DeviceFeatures>;
}
