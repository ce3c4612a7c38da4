import { HwInfoType } from '../smmu/compatibility.js';
import { CallError, type CallThread } from './call-thread.js';
import { errnoName, type HwInfoReply, type NestingReply, type ProbeStep } from './hw-info.js';
import {
  ArmSmmuV3Info,
  HwInfo,
  HwptAlloc,
  IoasAlloc,
  Ioctl,
  boundDeviceId,
  decodeHwInfo,
  encodeBindIommufd,
  encodeHwInfo,
  encodeIoasAlloc,
  encodeNestParent,
  encodeViommuAlloc,
  wordAt,
} from './iommufd-uapi.js';

/** Room for what a later kernel may append; it zeroes what it does not fill. */
const DATA_BYTES = Math.max(64, ArmSmmuV3Info.size);

/** A step of the conversation with the kernel failed with an errno. */
export class StepError extends Error {
  override readonly name = 'StepError';
  readonly step: ProbeStep;
  readonly errno: string;
  constructor(step: ProbeStep, errno: string) {
    super(`${step}: ${errno}`);
    this.step = step;
    this.errno = errno;
  }
}

/** A device bound to an iommufd of its own. Closing the cdev unbinds it: IOMMU_DESTROY is not needed. */
export class BoundDevice {
  readonly #thread: CallThread;
  readonly #iommu: number;
  readonly #cdev: number;
  readonly #devId: number;

  private constructor(thread: CallThread, iommu: number, cdev: number, devId: number) {
    this.#thread = thread;
    this.#iommu = iommu;
    this.#cdev = cdev;
    this.#devId = devId;
  }

  /**
   * Opens and binds. This enables and resets the function: only for a device that nobody uses.
   * @param thread for this device alone until it is closed
   * @throws StepError
   */
  static async bind(thread: CallThread, iommuPath: string, cdevPath: string): Promise<BoundDevice> {
    const iommu = await openNode(thread, iommuPath, 'open-iommu');
    try {
      const cdev = await openNode(thread, cdevPath, 'open-cdev');
      try {
        const bind = encodeBindIommufd(iommu);
        const { errno, argument } = await thread.ioctl(cdev, Ioctl.vfioDeviceBindIommufd, bind);
        if (errno !== 0) throw new StepError('bind', errnoName(errno));
        return new BoundDevice(thread, iommu, cdev, boundDeviceId(argument));
      } catch (error) {
        await thread.close(cdev);
        throw error;
      }
    } catch (error) {
      await thread.close(iommu);
      throw error;
    }
  }

  /** @param dataType an IOMMU type to ask for, or undefined for the driver's own */
  async hwInfo(dataType: number | undefined, source: string): Promise<HwInfoReply> {
    const { errno, argument, data } = await this.#thread.ioctl(
      this.#iommu,
      Ioctl.iommuGetHwInfo,
      encodeHwInfo(this.#devId, DATA_BYTES, dataType),
      { data: new Uint8Array(DATA_BYTES), pointerAt: HwInfo.offset.dataUptr },
    );
    if (errno !== 0) return { kind: 'failed', step: 'hw-info', errno: errnoName(errno), source };
    const info = decodeHwInfo(argument);
    return { kind: 'answer', ...info, data: data.subarray(0, Math.min(info.dataLen, data.length)), source };
  }

  /** The second query: is there a CMDQV beside the SMMU? */
  cmdqv(source: string): Promise<HwInfoReply> {
    return this.hwInfo(HwInfoType.tegra241Cmdqv, source);
  }

  /**
   * Allocates an IOAS, a nesting parent on it and a vIOMMU on that, as QEMU would. All of it goes with the iommufd.
   */
  async nesting(source: string): Promise<NestingReply> {
    const failed = (step: ProbeStep, errno: number): NestingReply => ({
      kind: 'failed',
      step,
      errno: errnoName(errno),
      source,
    });
    const call = (request: number, argument: Uint8Array) =>
      this.#thread.ioctl(this.#iommu, request, argument);
    const ioas = await call(Ioctl.iommuIoasAlloc, encodeIoasAlloc());
    if (ioas.errno !== 0) return failed('ioas-alloc', ioas.errno);
    const ioasId = wordAt(ioas.argument, IoasAlloc.offset.outIoasId);
    const parent = await call(Ioctl.iommuHwptAlloc, encodeNestParent(this.#devId, ioasId));
    if (parent.errno !== 0) return failed('hwpt-alloc', parent.errno);
    const parentId = wordAt(parent.argument, HwptAlloc.offset.outHwptId);
    const viommu = await call(Ioctl.iommuViommuAlloc, encodeViommuAlloc(this.#devId, parentId));
    return viommu.errno === 0 ? { kind: 'allowed', source } : failed('viommu-alloc', viommu.errno);
  }

  async close(): Promise<void> {
    await this.#thread.close(this.#cdev);
    await this.#thread.close(this.#iommu);
  }
}

async function openNode(thread: CallThread, path: string, step: ProbeStep): Promise<number> {
  try {
    return await thread.open(path);
  } catch (error) {
    if (error instanceof CallError) throw new StepError(step, error.errno);
    throw error;
  }
}
