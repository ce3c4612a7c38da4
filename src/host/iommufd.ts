import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf } from '../errors.js';
import { HwInfoType } from '../smmu/compatibility.js';
import { errnoName, type HwInfoReply, type NestingReply, type ProbeStep } from './hw-info.js';
import {
  ArmSmmuV3Info,
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

/** The C functions in use, non-variadic: same registers on x86-64 and AArch64, and koffi then allows `.async`. */
interface LibC {
  /** @returns 0, or the errno; runs off the event loop */
  ioctl(fd: number, request: number, argument: Uint8Array): Promise<number>;
  /** flock(2) with LOCK_EX | LOCK_NB; @returns 0, or the errno */
  tryLock(fd: number): number;
  address(bytes: Uint8Array): bigint;
}

const LOCK_EX_NB = 2 | 4;

let loaded: Promise<LibC> | undefined;

/** koffi costs 14 ms to load, so only a live probe does. */
export function loadLibC(): Promise<LibC> {
  loaded ??= bindLibC();
  return loaded;
}

async function bindLibC(): Promise<LibC> {
  const { default: koffi } = await import('koffi');
  // The program's own symbols, not libc.so.6: what a preloaded library answers is then seen (tests do).
  const libc = koffi.load(null);
  const ioctl = libc.func('ioctl', 'int', ['int', 'ulong', 'void *']);
  const flock: (fd: number, operation: number) => unknown = libc.func('flock', 'int', ['int', 'int']);
  return {
    ioctl: (fd, request, argument) =>
      new Promise((resolve, reject) => {
        ioctl.async(fd, request, argument, (error: unknown, result: unknown) => {
          if (error !== null && error !== undefined)
            reject(error instanceof Error ? error : new Error('ioctl could not be called', { cause: error }));
          else resolve(result === 0 ? 0 : koffi.errno());
        });
      }),
    tryLock: (fd) => (flock(fd, LOCK_EX_NB) === 0 ? 0 : koffi.errno()),
    address: (bytes) => koffi.address(bytes),
  };
}

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
  readonly #libc: LibC;
  readonly #iommu: FileHandle;
  readonly #cdev: FileHandle;
  readonly #devId: number;

  private constructor(libc: LibC, iommu: FileHandle, cdev: FileHandle, devId: number) {
    this.#libc = libc;
    this.#iommu = iommu;
    this.#cdev = cdev;
    this.#devId = devId;
  }

  /**
   * Opens and binds. This enables and resets the function: only for a device that nobody uses.
   * @throws StepError
   */
  static async bind(iommuPath: string, cdevPath: string): Promise<BoundDevice> {
    const libc = await loadLibC();
    const iommu = await openNode(iommuPath, 'open-iommu');
    try {
      const cdev = await openNode(cdevPath, 'open-cdev');
      try {
        const argument = encodeBindIommufd(iommu.fd);
        const errno = await libc.ioctl(cdev.fd, Ioctl.vfioDeviceBindIommufd, argument);
        if (errno !== 0) throw new StepError('bind', errnoName(errno));
        return new BoundDevice(libc, iommu, cdev, boundDeviceId(argument));
      } catch (error) {
        await cdev.close();
        throw error;
      }
    } catch (error) {
      await iommu.close();
      throw error;
    }
  }

  /** @param dataType an IOMMU type to ask for, or undefined for the driver's own */
  async hwInfo(dataType: number | undefined, source: string): Promise<HwInfoReply> {
    const data = Buffer.alloc(DATA_BYTES);
    const argument = encodeHwInfo(this.#devId, data.length, this.#libc.address(data), dataType);
    const errno = await this.#libc.ioctl(this.#iommu.fd, Ioctl.iommuGetHwInfo, argument);
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
    const ioas = encodeIoasAlloc();
    let errno = await this.#libc.ioctl(this.#iommu.fd, Ioctl.iommuIoasAlloc, ioas);
    if (errno !== 0) return failed('ioas-alloc', errno);
    const parent = encodeNestParent(this.#devId, wordAt(ioas, IoasAlloc.offset.outIoasId));
    errno = await this.#libc.ioctl(this.#iommu.fd, Ioctl.iommuHwptAlloc, parent);
    if (errno !== 0) return failed('hwpt-alloc', errno);
    const viommu = encodeViommuAlloc(this.#devId, wordAt(parent, HwptAlloc.offset.outHwptId));
    errno = await this.#libc.ioctl(this.#iommu.fd, Ioctl.iommuViommuAlloc, viommu);
    return errno === 0 ? { kind: 'allowed', source } : failed('viommu-alloc', errno);
  }

  async close(): Promise<void> {
    await this.#cdev.close();
    await this.#iommu.close();
  }
}

async function openNode(path: string, step: ProbeStep): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    throw new StepError(step, errnoOf(error) ?? 'EIO');
  }
}
