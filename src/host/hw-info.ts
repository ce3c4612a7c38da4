import { constants } from 'node:os';
import type { ErrorCode } from '../error-codes.js';
import { HwInfoType, cmdqvObstacles } from '../smmu/compatibility.js';
import { known, unknown, type Answer, type Evidence } from '../smmu/answer.js';
import type { IdrWords } from '../smmu/registers.js';
import { ArmSmmuV3Info, Tegra241CmdqvInfo } from './iommufd-uapi.js';
import type { Finding } from './report.js';

/** The system call at which asking a device ended. */
export const PROBE_STEPS = [
  'open-iommu',
  'open-cdev',
  'bind',
  'hw-info',
  'ioas-alloc',
  'hwpt-alloc',
  'viommu-alloc',
] as const;
export type ProbeStep = (typeof PROBE_STEPS)[number];

/** One answer of the kernel to IOMMU_GET_HW_INFO, or why there is none. */
export type HwInfoReply =
  | {
      readonly kind: 'answer';
      readonly dataType: number;
      /** Only bytes that the kernel wrote: at most out_data_len. */
      readonly data: Uint8Array;
      /** out_data_len, which may be more than the buffer held. */
      readonly dataLen: number;
      readonly maxPasidLog2: number;
      readonly capabilities: bigint;
      /** "IOMMU_GET_HW_INFO of 0000:01:00.0" */
      readonly source: string;
    }
  | { readonly kind: 'failed'; readonly step: ProbeStep; readonly errno: string; readonly source: string }
  | {
      readonly kind: 'not-asked';
      readonly because: string;
      readonly remedy: string;
      readonly source: string;
      /** Where a person should know of it. */
      readonly code: ErrorCode | undefined;
    };

/** Did the kernel allocate what an accelerated vSMMU stands on? Nothing is attached, so no DMA is touched. */
export type NestingReply =
  { readonly kind: 'allowed'; readonly source: string } | Exclude<HwInfoReply, { kind: 'answer' }>;

/** What a device was told: of its IOMMU, of the CMDQV beside it (input type 3), and whether nesting is allowed. */
export interface DeviceReplies {
  readonly hwInfo: HwInfoReply;
  readonly cmdqv: HwInfoReply;
  readonly nesting: NestingReply;
  /** Where the device could not be asked: what another one behind the same SMMU was told earlier since boot. */
  readonly sibling?: DeviceReplies | undefined;
  /** How the asking went: who was looked for before binding, what was reset. */
  readonly evidence: readonly Evidence[];
  readonly findings: readonly Finding[];
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** 95 -> "EOPNOTSUPP"; EOPNOTSUPP and ENOTSUP share a number on Linux. */
export function errnoName(errno: number): string {
  if (errno === constants.errno.EOPNOTSUPP) return 'EOPNOTSUPP';
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
}

export interface Explanation {
  readonly code: ErrorCode;
  readonly because: string;
  readonly remedy: string;
}

const STEP_NAMES: Record<ProbeStep, string> = {
  'open-iommu': 'opening /dev/iommu',
  'open-cdev': "opening the device's cdev",
  bind: 'VFIO_DEVICE_BIND_IOMMUFD',
  'hw-info': 'IOMMU_GET_HW_INFO',
  'ioas-alloc': 'IOMMU_IOAS_ALLOC',
  'hwpt-alloc': 'IOMMU_HWPT_ALLOC with NEST_PARENT',
  'viommu-alloc': 'IOMMU_VIOMMU_ALLOC',
};

const NODE_MISSING: Omit<Explanation, 'because'> = {
  code: 'PROBE_NO_NODE',
  remedy:
    'Use a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV, bind the device to a VFIO driver, and let the node into the container.',
};
const DEVICE_GONE: Omit<Explanation, 'because'> = {
  code: 'PROBE_NO_NODE',
  remedy: 'Probe again; the device may have been unplugged or unbound meanwhile.',
};
const NOT_PERMITTED: Omit<Explanation, 'because'> = {
  code: 'PROBE_NOT_PERMITTED',
  remedy: 'Run as root, or allow the node in the device cgroup of the container.',
};
const NOT_SUPPORTED: Omit<Explanation, 'because'> = {
  code: 'PROBE_NOT_SUPPORTED',
  remedy: 'Use a newer kernel: >= 6.6 for IOMMU_GET_HW_INFO, >= 6.13 for SMMUv3 registers.',
};

/** The same errno means different things at different calls (drivers/vfio/device_cdev.c, drivers/iommu/iommufd, Linux 6.6 to 7.1). */
const EXPLANATIONS: Record<string, Explanation> = {
  'bind EINVAL': {
    code: 'PROBE_BUSY',
    because:
      'the device is open by somebody through its cdev, such as a running VM, or, where nobody has it, its SMMU is not cache-coherent (EINVAL at bind)',
    remedy:
      'Probe it when no VM has it; the SMMU can be asked through another device behind it. An SMMU that firmware does not mark as coherent cannot serve iommufd at all.',
  },
  'bind EPERM': {
    code: 'PROBE_GROUP_NOT_VIABLE',
    because:
      'its IOMMU group has another owner: a member is on a host driver or in use by somebody such as a VM, or the platform does not isolate interrupts (EPERM at bind; not a matter of privilege)',
    remedy:
      'Bind every member of the IOMMU group to a VFIO driver, or leave it without a driver; probe when no VM has a member.',
  },
  'bind EBUSY': {
    code: 'PROBE_GROUP_OPEN',
    because: 'its legacy group /dev/vfio/N is open, such as by a VM without iommufd (EBUSY at bind)',
    remedy: 'Probe it when no VM has it.',
  },
  'hw-info ENOENT': {
    ...DEVICE_GONE,
    because: 'the iommufd does not know the device any more (ENOENT)',
  },
  'hwpt-alloc EOPNOTSUPP': {
    code: 'PROBE_NO_NESTING',
    because:
      'the kernel gives no nesting parent (EOPNOTSUPP): the SMMU lacks stage 2, or its driver lacks nesting',
    remedy: 'An accelerated vSMMU needs an SMMU with both stages and Linux >= 6.13.',
  },
  'viommu-alloc EOPNOTSUPP': {
    code: 'PROBE_NO_NESTING',
    because:
      'the kernel gives no vIOMMU (EOPNOTSUPP): the SMMU lacks a stage, needs forced syncs by an erratum, or neither its stage 2 can force write-back (S2FWB) nor is the device known to be coherent (CANWBS)',
    remedy: 'Ask the vendor whether firmware can mark the device as coherent; else run the VM without accel.',
  },
  'viommu-alloc ENOTTY': {
    code: 'PROBE_NOT_SUPPORTED',
    because: 'the kernel does not know IOMMU_VIOMMU_ALLOC (ENOTTY)',
    remedy: 'Use a kernel >= 6.13.',
  },
  'open-iommu ENOENT': { ...NODE_MISSING, because: 'there is no /dev/iommu (ENOENT)' },
  'open-cdev ENOENT': { ...NODE_MISSING, because: 'there is no cdev of it under /dev/vfio/devices (ENOENT)' },
};

/** What an errno at a step means and what to do; every case that the kernel distinguishes has its own code. */
export function explainErrno(step: ProbeStep, errno: string): Explanation {
  const special = EXPLANATIONS[`${step} ${errno}`];
  if (special !== undefined) return special;
  const because = `${STEP_NAMES[step]} failed with ${errno}`;
  switch (errno) {
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return step === 'open-iommu' ? { ...NODE_MISSING, because } : { ...DEVICE_GONE, because };
    case 'EACCES':
    case 'EPERM':
      return { ...NOT_PERMITTED, because };
    case 'EOPNOTSUPP':
    case 'ENOTTY':
      return { ...NOT_SUPPORTED, because };
    case 'ETIMEDOUT':
      return {
        code: 'PROBE_TIMEOUT',
        because: `${STEP_NAMES[step]} took longer than its time limit`,
        remedy: 'Look at the kernel log for the device; raise the time limit where its driver needs more.',
      };
    default:
      return { code: 'PROBE_FAILED', because, remedy: 'Look at the kernel log for the device.' };
  }
}

/** Why there is no answer. */
export function explainReply(reply: Exclude<HwInfoReply, { kind: 'answer' }>): Explanation {
  if (reply.kind === 'failed') return explainErrno(reply.step, reply.errno);
  return { code: reply.code ?? 'HW_INFO_UNKNOWN', because: reply.because, remedy: reply.remedy };
}

/** A refusal is a no; a question that was not asked, or failed for another reason, leaves it unknown. */
export function nestingOf(reply: NestingReply): Answer<boolean> {
  if (reply.kind === 'allowed')
    return known(true, { reading: 'nesting parent and vIOMMU allocated', source: reply.source });
  const { because, remedy, code } = explainReply(reply);
  const evidence: Evidence = { reading: because, source: reply.source };
  const refused = code === 'PROBE_NO_NESTING' || (reply.kind === 'failed' && reply.errno === 'ENOTTY');
  return refused ? known(false, evidence) : unknown(because, remedy);
}

/** IDR0..IDR5 of an SMMUv3's answer; unknown, with the reason, for everything else. */
export function idrWordsOf(reply: HwInfoReply): Answer<IdrWords> {
  if (reply.kind !== 'answer') {
    const { because, remedy } = explainReply(reply);
    return unknown(because, remedy);
  }
  const evidence: Evidence = { reading: `data type ${reply.dataType}`, source: reply.source };
  if (reply.dataType === HwInfoType.none)
    return unknown(
      'the kernel answered with data type 0: it is older than 6.13 or was built without CONFIG_ARM_SMMU_V3_IOMMUFD, or no SMMUv3 is in front',
      'Use a kernel >= 6.13 with CONFIG_ARM_SMMU_V3_IOMMUFD=y.',
      evidence,
    );
  if (reply.dataType !== HwInfoType.armSmmuV3)
    return unknown(
      `data type ${reply.dataType} is not an SMMUv3 (${HwInfoType.armSmmuV3})`,
      'An accelerated arm-smmuv3 needs a host with an Arm SMMUv3.',
      evidence,
    );
  if (reply.data.length < ArmSmmuV3Info.offset.iidr)
    return unknown(
      `the answer has ${reply.data.length} bytes; IDR0 to IDR5 end at byte ${ArmSmmuV3Info.offset.iidr}`,
      'Probe or record the host again.',
      evidence,
    );
  return known(readWords(reply.data), { reading: 'IDR0..IDR5', source: reply.source });
}

function readWords(data: Uint8Array): IdrWords {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const word = (n: number) => view.getUint32(ArmSmmuV3Info.offset.idr + 4 * n, true);
  return [word(0), word(1), word(2), word(3), word(4), word(5)];
}

/** A CMDQV that QEMU's checks refuse is none for a VM. */
function cmdqvOfAnswer({
  dataType,
  data,
  source,
}: Extract<HwInfoReply, { kind: 'answer' }>): Answer<boolean> {
  const type: Evidence = { reading: `data type ${dataType}`, source };
  if (dataType === HwInfoType.none)
    return unknown(
      'the kernel answered input type 3 with data type 0: its driver tells nothing of the SMMU',
      'Use a kernel >= 6.17 with CONFIG_ARM_SMMU_V3_IOMMUFD=y.',
      type,
    );
  if (dataType !== HwInfoType.tegra241Cmdqv) return known(false, type);
  const { offset, size } = Tegra241CmdqvInfo;
  const [version, log2Vcmdqs, log2Vsids] = [offset.version, offset.log2Vcmdqs, offset.log2Vsids].map(
    (at) => data[at],
  );
  if (version === undefined || log2Vcmdqs === undefined || log2Vsids === undefined)
    return unknown(
      `the answer about the CMDQV has ${data.length} bytes of ${size}`,
      'Probe or record the host again.',
      type,
    );
  const parameters = `version ${version}, log2vcmdqs ${log2Vcmdqs}, log2vsids ${log2Vsids}`;
  const obstacles = cmdqvObstacles({ version, log2Vcmdqs, log2Vsids });
  const told: Evidence = { reading: `data type ${dataType}, ${parameters}`, source };
  return known(
    obstacles.length === 0,
    told,
    ...obstacles.map((reading) => ({ reading, source: 'hw/arm/tegra241-cmdqv.c, QEMU 11.1' })),
  );
}

/**
 * Is there a CMDQV that a VM can use? EOPNOTSUPP to input type 3 means no where the kernel knows the flag INPUT_TYPE;
 * before 6.17 the same errno means only that it does not.
 * @param knowsInputType undefined where that is not known
 */
export function cmdqvOf(reply: HwInfoReply, knowsInputType: boolean | undefined): Answer<boolean> {
  if (reply.kind === 'answer') return cmdqvOfAnswer(reply);
  if (reply.kind === 'failed' && reply.step === 'hw-info' && reply.errno === 'EOPNOTSUPP') {
    const evidence: Evidence = { reading: 'input type 3: EOPNOTSUPP', source: reply.source };
    if (knowsInputType === true) return known(false, evidence);
    return unknown(
      'the kernel refused input type 3, which kernels before 6.17 do whether or not there is a CMDQV',
      'Use a kernel >= 6.17.',
      evidence,
    );
  }
  const { because, remedy } = explainReply(reply);
  return unknown(because, remedy);
}
