/** IDR0..IDR5 as `struct iommu_hw_info_arm_smmuv3` carries them (include/uapi/linux/iommufd.h, Linux 6.13). */
export type IdrWords = readonly [number, number, number, number, number, number];

/** Output address sizes by IDR5.OAS; the encoding is not linear (Arm IHI 0070, SMMU_IDR5). */
const OAS_BITS = [32, 36, 40, 42, 44, 48, 52, 56] as const;

export interface SmmuRegisters {
  /** IDR0[1], IDR0[0]: stage 1 and stage 2 translation. */
  readonly stage1: boolean;
  readonly stage2: boolean;
  /** IDR0[3:2]: bit 1 = AArch64 tables, bit 0 = AArch32. */
  readonly ttf: number;
  /** IDR0[10]: the SMMU answers ATS translation requests; says nothing about the root complex or a device. */
  readonly ats: boolean;
  /** IDR0[16] */
  readonly pri: boolean;
  /** IDR0[22:21]: 0 both, 2 little-endian, 3 big-endian only. */
  readonly ttEndian: number;
  /** IDR0[28:27]: 1 = 2-level stream tables. */
  readonly stLevel: number;
  /** IDR1[5:0], bits. */
  readonly sidSize: number;
  /** IDR1[10:6], bits; 0 = no substreams, hence no PASID. */
  readonly ssidSize: number;
  /** IDR3[10]: range invalidation. */
  readonly ril: boolean;
  /** IDR3[12:11] */
  readonly bbml: number;
  /** IDR5[2:0], decoded to bits. */
  readonly oasBits: number;
  /** IDR5[4], [5], [6] */
  readonly gran4k: boolean;
  readonly gran16k: boolean;
  readonly gran64k: boolean;
}

function field(word: number, high: number, low: number): number {
  return (word >>> low) & ((1 << (high - low + 1)) - 1);
}

/** Decodes the fields that decide a VM's fate. Bit positions: Arm IHI 0070 chapter 6, as in QEMU's smmuv3-common.h. */
export function decodeIdr(words: IdrWords): SmmuRegisters {
  const [idr0, idr1, , idr3, , idr5] = words;
  const bit = (word: number, position: number) => field(word, position, position) === 1;
  return {
    stage2: bit(idr0, 0),
    stage1: bit(idr0, 1),
    ttf: field(idr0, 3, 2),
    ats: bit(idr0, 10),
    pri: bit(idr0, 16),
    ttEndian: field(idr0, 22, 21),
    stLevel: field(idr0, 28, 27),
    sidSize: field(idr1, 5, 0),
    ssidSize: field(idr1, 10, 6),
    ril: bit(idr3, 10),
    bbml: field(idr3, 12, 11),
    oasBits: OAS_BITS[field(idr5, 2, 0)] ?? 0,
    gran4k: bit(idr5, 4),
    gran16k: bit(idr5, 5),
    gran64k: bit(idr5, 6),
  };
}
