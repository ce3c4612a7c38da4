/**
 * The part of the iommufd and VFIO ABI that vsmmu speaks, written out from include/uapi/linux/iommufd.h and
 * include/uapi/linux/vfio.h (Linux 6.6 to 7.2). Little-endian, as every host with an SMMUv3 in use is.
 * Sizes and offsets are checked against the C compiler in test/real/abi.
 */

/** `_IO(';', number)`: no size in it, hence the same on every architecture that uses the generic encoding. */
export const Ioctl = {
  /** _IO(';', 100 + 18), on the device's cdev, Linux 6.6. */
  vfioDeviceBindIommufd: 0x3b76,
  /** _IO(';', 0x81), on /dev/iommu, Linux 6.2. */
  iommuIoasAlloc: 0x3b81,
  /** _IO(';', 0x89), on /dev/iommu, Linux 6.6. */
  iommuHwptAlloc: 0x3b89,
  /** _IO(';', 0x8a), on /dev/iommu, Linux 6.6. */
  iommuGetHwInfo: 0x3b8a,
  /** _IO(';', 0x90), on /dev/iommu, Linux 6.13. */
  iommuViommuAlloc: 0x3b90,
} as const;

/** struct vfio_device_bind_iommufd; token_uuid_ptr came later and is not used: argsz 16 works on every kernel. */
export const BindIommufd = {
  /** Up to and without token_uuid_ptr. */
  size: 16,
  offset: {
    /** u32 */
    argsz: 0,
    /** u32, 0 */
    flags: 4,
    /** s32, the /dev/iommu file descriptor */
    iommufd: 8,
    /** u32, out: the device's id in the iommufd */
    outDevid: 12,
  },
} as const;

/** struct iommu_hw_info */
export const HwInfo = {
  size: 40,
  offset: {
    /** u32 */
    size: 0,
    /** u32, HwInfoFlag */
    flags: 4,
    /** u32 */
    devId: 8,
    /** u32, in: bytes of the buffer; out: bytes the kernel has, which may be more than it wrote */
    dataLen: 12,
    /** u64, address of the buffer */
    dataUptr: 16,
    /** u32, in_data_type with HwInfoFlag.inputType, out_data_type on return */
    dataType: 24,
    /** u8, out: PASID width that device and SMMU share; 0 = none (Linux 6.15) */
    outMaxPasidLog2: 28,
    /** u64, out: HwCapability */
    outCapabilities: 32,
  },
} as const;

export const HwInfoFlag = {
  /** in_data_type is meant; Linux 6.17, EOPNOTSUPP before. */
  inputType: 1,
} as const;

/** Bits of out_capabilities. */
export const HwCapability = {
  dirtyTracking: 1n << 0n,
  pciPasidExec: 1n << 1n,
  pciPasidPriv: 1n << 2n,
  /** A negative flag: only a kernel that knows it (7.1) can say "supported" by leaving it clear. */
  pciAtsNotSupported: 1n << 3n,
} as const;

/** struct iommu_hw_info_arm_smmuv3 */
export const ArmSmmuV3Info = {
  size: 40,
  offset: {
    /** u32, 0 */
    flags: 0,
    /** u32[6]: IDR0..IDR5, each 4 bytes */
    idr: 8,
    /** u32 */
    iidr: 32,
    /** u32 */
    aidr: 36,
  },
} as const;

/** struct iommu_hw_info_tegra241_cmdqv */
export const Tegra241CmdqvInfo = {
  size: 8,
  offset: {
    /** u32, 0 */
    flags: 0,
    /** u8 */
    version: 4,
    /** u8 */
    log2Vcmdqs: 5,
    /** u8 */
    log2Vsids: 6,
  },
} as const;

/** struct iommu_ioas_alloc */
export const IoasAlloc = {
  size: 12,
  offset: {
    /** u32 */
    size: 0,
    /** u32, 0 */
    flags: 4,
    /** u32, out */
    outIoasId: 8,
  },
} as const;

/** struct iommu_hwpt_alloc; an older kernel, which knows less of it, accepts what it does not know as zero. */
export const HwptAlloc = {
  size: 48,
  offset: {
    /** u32 */
    size: 0,
    /** u32, HWPT_ALLOC_NEST_PARENT */
    flags: 4,
    /** u32 */
    devId: 8,
    /** u32, the IOAS */
    ptId: 12,
    /** u32, out */
    outHwptId: 16,
    /** u32, 0 = no driver data */
    dataType: 24,
    /** u32 */
    dataLen: 28,
    /** u64 */
    dataUptr: 32,
    /** u32 */
    faultId: 40,
  },
} as const;

/** IOMMU_HWPT_ALLOC_NEST_PARENT: a stage 2 for a guest's stage 1 to stand on. */
export const HWPT_ALLOC_NEST_PARENT = 1;

/** struct iommu_viommu_alloc without data_len and data_uptr, which came later and the SMMUv3 type does not need. */
export const ViommuAlloc = {
  size: 24,
  offset: {
    /** u32 */
    size: 0,
    /** u32, 0 */
    flags: 4,
    /** u32, VIOMMU_TYPE_ARM_SMMUV3 */
    type: 8,
    /** u32 */
    devId: 12,
    /** u32, the nesting parent */
    hwptId: 16,
    /** u32, out */
    outViommuId: 20,
  },
} as const;

/** IOMMU_VIOMMU_TYPE_ARM_SMMUV3 */
export const VIOMMU_TYPE_ARM_SMMUV3 = 1;

export interface HwInfoStruct {
  readonly dataLen: number;
  readonly dataType: number;
  readonly maxPasidLog2: number;
  readonly capabilities: bigint;
}

/** Reads a struct iommu_hw_info that the kernel has filled; `bytes` holds at least HwInfo.size. */
export function decodeHwInfo(bytes: Uint8Array): HwInfoStruct {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    dataLen: view.getUint32(HwInfo.offset.dataLen, true),
    dataType: view.getUint32(HwInfo.offset.dataType, true),
    maxPasidLog2: view.getUint8(HwInfo.offset.outMaxPasidLog2),
    capabilities: view.getBigUint64(HwInfo.offset.outCapabilities, true),
  };
}

/**
 * The buffer's address is left for the thread that makes the call.
 * @param dataType in_data_type, or undefined to ask for the IOMMU's own type
 */
export function encodeHwInfo(devId: number, dataLen: number, dataType: number | undefined): Uint8Array {
  const { offset, size } = HwInfo;
  return words(size, [
    [offset.size, size],
    [offset.flags, dataType === undefined ? 0 : HwInfoFlag.inputType],
    [offset.devId, devId],
    [offset.dataLen, dataLen],
    [offset.dataType, dataType ?? 0],
  ]);
}

export function encodeIoasAlloc(): Uint8Array {
  return words(IoasAlloc.size, [[IoasAlloc.offset.size, IoasAlloc.size]]);
}

export function encodeNestParent(devId: number, ioasId: number): Uint8Array {
  const { offset, size } = HwptAlloc;
  return words(size, [
    [offset.size, size],
    [offset.flags, HWPT_ALLOC_NEST_PARENT],
    [offset.devId, devId],
    [offset.ptId, ioasId],
  ]);
}

export function encodeViommuAlloc(devId: number, hwptId: number): Uint8Array {
  const { offset, size } = ViommuAlloc;
  return words(size, [
    [offset.size, size],
    [offset.type, VIOMMU_TYPE_ARM_SMMUV3],
    [offset.devId, devId],
    [offset.hwptId, hwptId],
  ]);
}

/** A struct of u32 fields; what is not named is zero. */
function words(size: number, fields: readonly (readonly [offset: number, value: number])[]): Uint8Array {
  const bytes = Buffer.alloc(size);
  for (const [offset, value] of fields) bytes.writeUInt32LE(value, offset);
  return bytes;
}

export function wordAt(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(offset, true);
}

export function encodeBindIommufd(iommufd: number): Uint8Array {
  const bytes = Buffer.alloc(BindIommufd.size);
  bytes.writeUInt32LE(BindIommufd.size, BindIommufd.offset.argsz);
  bytes.writeInt32LE(iommufd, BindIommufd.offset.iommufd);
  return bytes;
}

export function boundDeviceId(bind: Uint8Array): number {
  return wordAt(bind, BindIommufd.offset.outDevid);
}
