import { join } from 'node:path';
import type { Bdf } from '../bdf.js';
import type { Evidence } from '../smmu/answer.js';
import { findHolders } from './device-holders.js';
import type { DeviceReplies, HwInfoReply, ProbeStep } from './hw-info.js';
import type { HwInfoTarget } from './host-source.js';
import { BoundDevice, StepError } from './iommufd.js';
import { PROBE_LOCK, takeProbeLock, type LockResult } from './probe-lock.js';

export interface ProberOptions {
  /** May devices be bound, which resets them? Without it nothing but sysfs is read. */
  readonly bind?: boolean | undefined;
  /** How long a step may take; nvgrace-gpu-vfio-pci alone may need 30 s to open. */
  readonly stepTimeoutMs?: number | undefined;
  readonly lockPath?: string | undefined;
  readonly lockWaitMs?: number | undefined;
}

const STEP_TIMEOUT_MS = 60_000;
const LOCK_WAIT_MS = 10_000;

/** Asks idle devices through their cdevs, under a lock that is held from the first question to close(). */
export class DeviceProber {
  readonly #root: string;
  readonly #options: ProberOptions;
  #lock: Promise<LockResult> | undefined;

  constructor(root: string, options: ProberOptions) {
    this.#root = root;
    this.#options = options;
  }

  /** Never throws: what goes wrong is part of the reply. */
  async ask(target: HwInfoTarget): Promise<DeviceReplies> {
    const source = `IOMMU_GET_HW_INFO of ${target.bdf}`;
    const notAsked = (
      code: Extract<HwInfoReply, { kind: 'not-asked' }>['code'],
      because: string,
      remedy: string,
      evidence: readonly Evidence[] = [],
    ): DeviceReplies => {
      const reply: HwInfoReply = { kind: 'not-asked', because, remedy, source, code };
      return { hwInfo: reply, cmdqv: reply, nesting: reply, evidence, findings: [] };
    };

    if (this.#options.bind === false)
      return notAsked(undefined, 'devices were not to be bound', 'Allow the probe to bind idle devices.');
    if (target.vfioName === undefined)
      return notAsked(undefined, 'it has no VFIO character device', 'Bind it to a VFIO driver.');

    const lock = await this.#takeLock();
    if (!lock.ok) return notAsked('PROBE_LOCKED', lock.because, lock.remedy);

    const nodes = nodesOf(target);
    const search = await findHolders(this.#root, nodes);
    const evidence: Evidence[] = [
      {
        reading: `${search.processes} processes looked at, ${search.unreadable} of them unreadable; ${search.holders.join(', ') || 'none holds it'}`,
        source: `/proc/*/fd for ${nodes.join(', ')}`,
      },
    ];
    if (search.holders.length > 0)
      return notAsked(
        'PROBE_IN_USE',
        `it or a member of its IOMMU group is in use: ${search.holders.join(', ')}`,
        'Probe it when no VM has it; the SMMU can be asked through another device behind it.',
        evidence,
      );
    return this.#converse(target.bdf, target.vfioName, evidence);
  }

  async close(): Promise<void> {
    const lock = await this.#lock;
    this.#lock = undefined;
    if (lock?.ok === true) await lock.lock.release();
  }

  #takeLock(): Promise<LockResult> {
    this.#lock ??= takeProbeLock(
      this.#options.lockPath ?? join(this.#root, PROBE_LOCK),
      this.#options.lockWaitMs ?? LOCK_WAIT_MS,
    );
    return this.#lock;
  }

  async #converse(bdf: Bdf, vfioName: string, evidence: readonly Evidence[]): Promise<DeviceReplies> {
    const source = `IOMMU_GET_HW_INFO of ${bdf}`;
    const limit = this.#options.stepTimeoutMs ?? STEP_TIMEOUT_MS;
    const cdev = join(this.#root, '/dev/vfio/devices', vfioName);
    const binding = BoundDevice.bind(join(this.#root, '/dev/iommu'), cdev);
    try {
      const device = await within(binding, limit, 'bind');
      // Closing resets the device once more and may take as long; the caller needs not wait for it.
      try {
        const hwInfo = await within(device.hwInfo(undefined, source), limit, 'hw-info');
        const cmdqv = await within(device.cmdqv(source), limit, 'hw-info');
        const nesting = await within(device.nesting(`nesting with ${bdf}`), limit, 'viommu-alloc');
        return { hwInfo, cmdqv, nesting, evidence, findings: [] };
      } finally {
        await within(device.close(), limit, 'hw-info');
      }
    } catch (error) {
      // A bind that ends after its time limit must not stay bound.
      void binding.then((late) => late.close()).catch(() => undefined);
      if (!(error instanceof StepError)) throw error;
      const reply: HwInfoReply = { kind: 'failed', step: error.step, errno: error.errno, source };
      return { hwInfo: reply, cmdqv: reply, nesting: reply, evidence, findings: [] };
    }
  }
}

function nodesOf(target: HwInfoTarget): string[] {
  const nodes = target.groupVfioNames.map((name) => `/dev/vfio/devices/${name}`);
  return target.group === undefined ? nodes : [...nodes, `/dev/vfio/${target.group}`];
}

/** A system call cannot be cancelled; its caller can stop waiting. */
async function within<T>(work: Promise<T>, limitMs: number, step: ProbeStep): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new StepError(step, 'ETIMEDOUT')), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
