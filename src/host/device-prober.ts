import { join } from 'node:path';
import type { Bdf } from '../bdf.js';
import type { ErrorCode } from '../error-codes.js';
import type { Evidence } from '../smmu/answer.js';
import { findHolders, type HolderSearch } from './device-holders.js';
import { messageOf } from '../errors.js';
import type { DeviceReplies, HwInfoReply, NestingReply, ProbeStep } from './hw-info.js';
import type { HwInfoTarget } from './host-source.js';
import { CallThreads } from './call-thread.js';
import { BoundDevice, StepError } from './iommufd.js';
import { PROBE_LOCK, takeProbeLock, type LockResult } from './probe-lock.js';
import { REPLY_CACHE, ReplyCache, type CacheKey } from './reply-cache.js';

export interface ProberOptions {
  /** May devices be bound, which resets them? Without it nothing but sysfs and the cache is read. */
  readonly bind?: boolean | undefined;
  /** Ask again what the cache already knows of this boot. */
  readonly fresh?: boolean | undefined;
  /** How long a step may take; nvgrace-gpu-vfio-pci alone may need 30 s to open. */
  readonly stepTimeoutMs?: number | undefined;
  /** Has a VM this IOMMU group, or will it have it in a moment? Such a device is not bound. undefined: nobody knows. */
  readonly isHandedOut?: ((group: number) => boolean) | undefined;
  readonly lockPath?: string | undefined;
  readonly lockWaitMs?: number | undefined;
  readonly cachePath?: string | undefined;
  /** Threads that outlive this one probe; its own where there are none. */
  readonly threads?: CallThreads | undefined;
}

const STEP_TIMEOUT_MS = 60_000;
const LOCK_WAIT_MS = 10_000;
/** For so long a look through /proc counts for other devices too; the kernel refuses a device opened since. */
const SEARCH_AGE_MS = 1_000;

/** Asks idle devices through their cdevs, under a lock that is held from the first question to close(). */
export class DeviceProber {
  readonly #root: string;
  readonly #options: ProberOptions;
  readonly #cacheKey: () => CacheKey | undefined;
  readonly #threads: CallThreads;
  /** undefined: not opened yet; null: boot or kernel could not be told. */
  #cache: ReplyCache | null | undefined;
  #lock: Promise<LockResult> | undefined;
  #search: { readonly at: number; readonly result: Promise<HolderSearch> } | undefined;
  /** Questions without an answer yet, and bindings given up at their time limit: the lock stays until they end. */
  readonly #unfinished = new Set<Promise<unknown>>();

  /** @param cacheKey undefined where boot or kernel could not be told: nothing is cached then */
  constructor(root: string, options: ProberOptions, cacheKey: () => CacheKey | undefined) {
    this.#root = root;
    this.#options = options;
    this.#threads = options.threads ?? new CallThreads();
    this.#cacheKey = cacheKey;
  }

  /**
   * Never throws: what goes wrong is part of the reply.
   * @param signal ends the wait for another probe's lock; a device that is being asked is waited for
   */
  ask(target: HwInfoTarget, signal?: AbortSignal): Promise<DeviceReplies> {
    const asking = this.#askOnce(target, signal);
    this.#unfinished.add(asking);
    void asking.finally(() => this.#unfinished.delete(asking)).catch(() => undefined);
    return asking;
  }

  async #askOnce(target: HwInfoTarget, signal: AbortSignal | undefined): Promise<DeviceReplies> {
    const remembered = this.#remembered(target);
    if (remembered !== undefined) return remembered;
    const replies = await this.#askKernel(target, signal);
    const cache = this.#openCache();
    if (replies.hwInfo.kind === 'answer') {
      cache?.remember(target, replies, new Date());
      return replies;
    }
    const sibling = cache?.smmu(target.smmu);
    return sibling === undefined ? replies : { ...replies, sibling };
  }

  /**
   * Keeps what was learnt and gives up the lock. Where the caller did not wait for a device, both come once more
   * when it has answered: the next probe finds its answer in the cache.
   */
  async close(): Promise<void> {
    const unfinished = [...this.#unfinished];
    const finish = async () => {
      await Promise.allSettled(unfinished);
      this.#save();
      const lock = await this.#lock;
      this.#lock = undefined;
      if (lock?.ok === true) await lock.lock.release();
      await this.#threads.rest();
    };
    if (unfinished.length === 0) return finish();
    this.#save();
    // Nobody waits any more; closing a file at the end has nothing left to lose.
    finish().catch(() => undefined);
  }

  #save(): void {
    try {
      this.#cache?.save();
    } catch {
      // Without a place for the cache every probe asks anew; the answers themselves lose nothing.
    }
  }

  #openCache(): ReplyCache | null {
    if (this.#cache === undefined) {
      const key = this.#cacheKey();
      const path = this.#options.cachePath ?? join(this.#root, REPLY_CACHE);
      this.#cache = key === undefined ? null : ReplyCache.open(path, key);
    }
    return this.#cache;
  }

  async #askKernel(target: HwInfoTarget, signal: AbortSignal | undefined): Promise<DeviceReplies> {
    if (this.#options.bind === false)
      return notAsked(
        target,
        undefined,
        'devices were not to be bound',
        'Allow the probe to bind idle devices.',
      );
    if (target.vfioName === undefined)
      return notAsked(target, undefined, 'it has no VFIO character device', 'Bind it to a VFIO driver.');

    this.#lock ??= this.#takeLock(signal);
    const lock = await this.#lock;
    if (!lock.ok) return notAsked(target, 'PROBE_LOCKED', lock.because, lock.remedy);
    const learnt = this.#remembered(target);
    if (learnt !== undefined) return learnt;

    const nodes = nodesOf(target);
    const search = await this.#findHolders();
    const held = nodes.flatMap((node) =>
      (search.holders.get(node) ?? []).map((who) => `${who} holds ${node}`),
    );
    const looked = `${search.processes} processes looked at, ${search.unreadable} of them unreadable`;
    const evidence: Evidence[] = [
      {
        reading: `${looked}; ${held.join(', ') || 'none holds it'}`,
        source: `/proc/*/fd for ${nodes.join(', ')}`,
      },
    ];
    if (held.length > 0)
      return notAsked(
        target,
        'PROBE_IN_USE',
        `it or a member of its IOMMU group is in use: ${held.join(', ')}`,
        'Probe it when no VM has it; the SMMU can be asked through another device behind it.',
        evidence,
      );
    // Between the two a VM is starting, and nobody holds anything yet.
    if (target.group !== undefined && this.#options.isHandedOut?.(target.group) === true)
      return notAsked(
        target,
        'PROBE_IN_USE',
        `its IOMMU group ${target.group} is handed out`,
        'It is asked when no pod has it; the SMMU can be asked through another device behind it.',
        evidence,
      );
    return this.#converse(target.bdf, target.vfioName, evidence);
  }

  /** Whoever held the lock before may have asked the same: what the cache holds now counts. */
  async #takeLock(signal: AbortSignal | undefined): Promise<LockResult> {
    const path = this.#options.lockPath ?? join(this.#root, PROBE_LOCK);
    const lock = await takeProbeLock(path, this.#options.lockWaitMs ?? LOCK_WAIT_MS, signal);
    this.#cache = undefined;
    return lock;
  }

  #remembered(target: HwInfoTarget): DeviceReplies | undefined {
    return this.#options.fresh === true ? undefined : this.#openCache()?.device(target);
  }

  #findHolders(): Promise<HolderSearch> {
    const now = performance.now();
    if (this.#search === undefined || now - this.#search.at > SEARCH_AGE_MS)
      this.#search = { at: now, result: findHolders(this.#root) };
    return this.#search.result;
  }

  async #converse(bdf: Bdf, vfioName: string, evidence: readonly Evidence[]): Promise<DeviceReplies> {
    const source = `IOMMU_GET_HW_INFO of ${bdf}`;
    const limit = this.#options.stepTimeoutMs ?? STEP_TIMEOUT_MS;
    const thread = this.#threads.take();
    const cdev = join(this.#root, '/dev/vfio/devices', vfioName);
    const binding = BoundDevice.bind(thread, join(this.#root, '/dev/iommu'), cdev);
    const done = () => this.#threads.giveBack(thread);
    let device: BoundDevice;
    try {
      device = await within(binding, limit, 'bind');
    } catch (error) {
      // A bind that ends after its time limit must not stay bound.
      void this.#finishLater(binding.then((late) => late.close()).finally(done));
      const reply = unanswered(error, source);
      return { hwInfo: reply, cmdqv: reply, nesting: reply, evidence, findings: [] };
    }
    try {
      const hwInfo = await answered(device.hwInfo(undefined, source), limit, 'hw-info', source);
      // A thread that hangs in one call makes no other.
      if (hwInfo.kind === 'failed' && hwInfo.errno === TIMED_OUT)
        return { hwInfo, cmdqv: hwInfo, nesting: hwInfo, evidence, findings: [] };
      const cmdqv = await answered(device.cmdqv(source), limit, 'hw-info', source);
      const nests = `nesting with ${bdf}`;
      const nesting = await answered(device.nesting(nests), limit, 'viommu-alloc', nests);
      return { hwInfo, cmdqv, nesting, evidence, findings: [] };
    } finally {
      // Closing resets the device once more, which may take as long; what it answered counts all the same.
      const closing = this.#finishLater(device.close().finally(done));
      await within(closing, limit, 'bind').catch(() => undefined);
    }
  }

  /** The lock stays until it has ended. */
  #finishLater(work: Promise<unknown>): Promise<void> {
    const finishing: Promise<void> = work
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => this.#unfinished.delete(finishing));
    this.#unfinished.add(finishing);
    return finishing;
  }
}

const TIMED_OUT = 'ETIMEDOUT';

/** The reply, or that there was none in time. */
async function answered<T>(
  asking: Promise<T>,
  limitMs: number,
  step: ProbeStep,
  source: string,
): Promise<T | Unanswered> {
  try {
    return await within(asking, limitMs, step);
  } catch (error) {
    return unanswered(error, source);
  }
}

type Unanswered = Exclude<NestingReply, { kind: 'allowed' }>;

function unanswered(error: unknown, source: string): Unanswered {
  if (error instanceof StepError) return { kind: 'failed', step: error.step, errno: error.errno, source };
  return {
    kind: 'not-asked',
    because: messageOf(error),
    remedy: 'Install vsmmu anew where its native library (koffi) cannot be loaded.',
    source,
    code: 'PROBE_FAILED',
  };
}

function notAsked(
  target: HwInfoTarget,
  code: ErrorCode | undefined,
  because: string,
  remedy: string,
  evidence: readonly Evidence[] = [],
): DeviceReplies {
  const source = `IOMMU_GET_HW_INFO of ${target.bdf}`;
  const reply: HwInfoReply = { kind: 'not-asked', because, remedy, source, code };
  return { hwInfo: reply, cmdqv: reply, nesting: reply, evidence, findings: [] };
}

function nodesOf(target: HwInfoTarget): string[] {
  const nodes = target.groupVfioNames.map((name) => `/dev/vfio/devices/${name}`);
  return target.group === undefined ? nodes : [...nodes, `/dev/vfio/${target.group}`];
}

/** A system call cannot be cancelled; its caller can stop waiting. */
async function within<T>(work: Promise<T>, limitMs: number, step: ProbeStep): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new StepError(step, TIMED_OUT)), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
