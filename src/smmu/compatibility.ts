import type { Obstacle, SmmuFeatures, SmmuLimits } from './features.js';
import { decodeIdr, type IdrWords, type SmmuRegisters } from './registers.js';

/** iommu_hw_info.out_data_type values (include/uapi/linux/iommufd.h). */
export const HwInfoType = { none: 0, intelVtd: 1, armSmmuV3: 2, tegra241Cmdqv: 3, amd: 4 } as const;

const USE_ANOTHER_HOST = 'Run the VM on another host, or without an accelerated vSMMU.';

/** What QEMU's own vSMMU model has, where it compares for equality or needs a minimum (hw/arm/smmuv3.c, QEMU 11.1). */
const QEMU_MODEL = { stLevel: 1, ttf: 2, ttEndian: 2, sidSize: 16, oasMinimum: 44 } as const;

/**
 * The checks of QEMU's smmuv3_accel_check_hw_compatible() that no property can avoid, in QEMU's order;
 * QEMU stops at the first, here all are told. An empty list means that accel=on is possible.
 */
export function accelObstacles(registers: SmmuRegisters): Obstacle[] {
  const obstacles: Obstacle[] = [];
  const obstacle = (code: Obstacle['code'], message: string) =>
    obstacles.push({ code, message, remedy: USE_ANOTHER_HOST });

  if (registers.stLevel !== QEMU_MODEL.stLevel)
    obstacle(
      'HOST_STLEVEL',
      `IDR0.ST_LEVEL is ${registers.stLevel}; a vSMMU needs a 2-level stream table (1)`,
    );
  if (registers.ttEndian > QEMU_MODEL.ttEndian)
    obstacle('HOST_TTENDIAN', `IDR0.TTENDIAN is ${registers.ttEndian}: big-endian translation tables only`);
  if (registers.ttf < QEMU_MODEL.ttf)
    obstacle('HOST_TTF', `IDR0.TTF is ${registers.ttf}: no AArch64 translation table format`);
  if (registers.sidSize < QEMU_MODEL.sidSize)
    obstacle('HOST_SIDSIZE', `IDR1.SIDSIZE is ${registers.sidSize}; a vSMMU needs ${QEMU_MODEL.sidSize}`);
  if (registers.oasBits < QEMU_MODEL.oasMinimum)
    obstacle(
      'HOST_OAS',
      `IDR5.OAS is ${registers.oasBits} bits; a vSMMU has at least ${QEMU_MODEL.oasMinimum}`,
    );
  for (const [size, present] of granules(registers))
    if (!present) obstacle('HOST_GRANULE', `IDR5 has no ${size} translation granule`);
  return obstacles;
}

/** struct iommu_hw_info_tegra241_cmdqv: PARAM[3:0], PARAM[7:4] and PARAM[15:12] of a Tegra241 CMDQV. */
export interface CmdqvParameters {
  readonly version: number;
  readonly log2Vcmdqs: number;
  readonly log2Vsids: number;
}

/** What QEMU's own CMDQV has (hw/arm/tegra241-cmdqv.h, QEMU 11.1): the same version, and at least as many of the rest. */
const QEMU_CMDQV: CmdqvParameters = { version: 1, log2Vcmdqs: 1, log2Vsids: 4 };

/** Why QEMU's tegra241_cmdqv_probe() would not use it; empty: cmdqv=on is possible. */
export function cmdqvObstacles(host: CmdqvParameters): string[] {
  const { version, log2Vcmdqs, log2Vsids } = QEMU_CMDQV;
  return [
    ...(host.version === version ? [] : [`QEMU knows only version ${version}`]),
    ...(host.log2Vcmdqs >= log2Vcmdqs ? [] : [`QEMU needs log2vcmdqs >= ${log2Vcmdqs}`]),
    ...(host.log2Vsids >= log2Vsids ? [] : [`QEMU needs log2vsids >= ${log2Vsids}`]),
  ];
}

function granules(registers: SmmuRegisters): readonly (readonly [string, boolean])[] {
  return [
    ['4K', registers.gran4k],
    ['16K', registers.gran16k],
    ['64K', registers.gran64k],
  ];
}

export function limitsOf(registers: SmmuRegisters, cmdqv: boolean | undefined): SmmuLimits {
  return {
    ats: registers.ats,
    ril: registers.ril,
    ssidsize: registers.ssidSize,
    oas: registers.oasBits,
    cmdqv,
  };
}

/**
 * Turns one IOMMU_GET_HW_INFO reply into what the rules need.
 *
 * @param words IDR0..IDR5, or undefined where the reply carried none
 * @param cmdqv the answer to the second query, input type 3; undefined where it was not asked
 */
export function smmuFeatures(
  name: string | undefined,
  dataType: number,
  words: IdrWords | undefined,
  cmdqv: boolean | undefined,
): SmmuFeatures {
  if (dataType !== HwInfoType.armSmmuV3 || words === undefined)
    return { name, limits: undefined, obstacles: [wrongType(dataType)] };
  const registers = decodeIdr(words);
  return { name, limits: limitsOf(registers, cmdqv), obstacles: accelObstacles(registers) };
}

function wrongType(dataType: number): Obstacle {
  if (dataType === HwInfoType.none)
    return {
      code: 'HW_INFO_TYPE',
      message:
        'IOMMU_GET_HW_INFO answered with data type 0 (none): the kernel is older than 6.13 or was built without CONFIG_ARM_SMMU_V3_IOMMUFD',
      remedy: 'Use a kernel >= 6.13 with CONFIG_ARM_SMMU_V3_IOMMUFD=y.',
    };
  return {
    code: 'HW_INFO_TYPE',
    message: `IOMMU_GET_HW_INFO answered with data type ${dataType}; an SMMUv3 answers with ${HwInfoType.armSmmuV3}`,
    remedy: 'An accelerated arm-smmuv3 needs a host with an Arm SMMUv3.',
  };
}

/** For a device whose SMMU could not be asked. */
export function unknownSmmu(name: string | undefined, because: string, remedy: string): SmmuFeatures {
  return {
    name,
    limits: undefined,
    obstacles: [{ code: 'HW_INFO_UNKNOWN', message: because, remedy }],
  };
}
