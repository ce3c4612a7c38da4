import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod/mini';
import type { HwInfoTarget } from './host-source.js';
import { PROBE_STEPS, type DeviceReplies, type HwInfoReply, type NestingReply } from './hw-info.js';

/** On a tmpfs that every reboot empties; a container mounts the folder to share it. */
export const REPLY_CACHE = '/run/vsmmu/hw-info.json';
const FORMAT = 1;

const hex = z.string().check(z.regex(/^(?:[0-9a-f]{2})*$/));
const Answered = z.object({
  kind: z.literal('answer'),
  dataType: z.int().check(z.nonnegative()),
  dataLen: z.int().check(z.nonnegative()),
  data: hex,
  maxPasidLog2: z.int().check(z.minimum(0), z.maximum(255)),
  capabilities: hex,
});
const Failed = z.object({ kind: z.literal('failed'), step: z.enum(PROBE_STEPS), errno: z.string() });
const Entry = z.object({
  /** When it was asked, ISO 8601. */
  at: z.string(),
  bdf: z.string(),
  hwInfo: Answered,
  cmdqv: z.union([Answered, Failed]),
  nesting: z.union([z.object({ kind: z.literal('allowed') }), Failed]),
});
type Entry = z.infer<typeof Entry>;
const CacheFile = z.object({
  format: z.literal(FORMAT),
  bootId: z.string(),
  release: z.string(),
  /** By the device's identity. */
  devices: z.record(z.string(), Entry),
  /** By the SMMU's name: what a device behind it was told, whether or not that device is still there. */
  smmus: z.record(z.string(), Entry),
});
type CacheFile = z.infer<typeof CacheFile>;

export interface CacheKey {
  readonly bootId: string;
  readonly release: string;
}

/**
 * What devices were told since boot. Registers are constants of an SMMU, and the kernel's word on a device
 * does not change while it runs, so that no device needs to be reset twice, and one in use still has its answers.
 */
export class ReplyCache {
  readonly #path: string;
  readonly #content: CacheFile;
  #changed = false;

  private constructor(path: string, content: CacheFile) {
    this.#path = path;
    this.#content = content;
  }

  /** A file of another boot or kernel, or one that is damaged, counts as empty. */
  static open(path: string, key: CacheKey): ReplyCache {
    const empty: CacheFile = { format: FORMAT, ...key, devices: {}, smmus: {} };
    const stored = readCache(path);
    const fits = stored?.bootId === key.bootId && stored.release === key.release;
    return new ReplyCache(path, fits ? stored : empty);
  }

  device(target: HwInfoTarget): DeviceReplies | undefined {
    const entry = this.#content.devices[identity(target)];
    return entry === undefined ? undefined : this.#replies(entry);
  }

  /** What another device behind the SMMU was told. */
  smmu(name: string | undefined): DeviceReplies | undefined {
    const entry = name === undefined ? undefined : this.#content.smmus[name];
    return entry === undefined ? undefined : this.#replies(entry);
  }

  /** @param at the time of asking */
  remember(target: HwInfoTarget, replies: DeviceReplies, at: Date): void {
    const { hwInfo, cmdqv, nesting } = replies;
    const [info, queue, nest] = [stored(hwInfo), storedCmdqv(cmdqv), storedNesting(nesting)];
    if (info === undefined || queue === undefined || nest === undefined) return;
    const entry: Entry = { at: at.toISOString(), bdf: target.bdf, hwInfo: info, cmdqv: queue, nesting: nest };
    this.#content.devices[identity(target)] = entry;
    if (target.smmu !== undefined) this.#content.smmus[target.smmu] = entry;
    this.#changed = true;
  }

  /** Writes beside the file and renames, so that a reader sees the old or the new one. @throws on a file system's refusal */
  save(): void {
    if (!this.#changed) return;
    const beside = `${this.#path}.${process.pid}`;
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
      writeFileSync(beside, `${JSON.stringify(this.#content)}\n`, { mode: 0o600 });
      renameSync(beside, this.#path);
      this.#changed = false;
    } finally {
      rmSync(beside, { force: true });
    }
  }

  #replies(entry: Entry): DeviceReplies {
    const source = `IOMMU_GET_HW_INFO of ${entry.bdf}, cached`;
    return {
      hwInfo: restored(entry.hwInfo, source),
      cmdqv: restored(entry.cmdqv, source),
      nesting: { ...entry.nesting, source: `nesting with ${entry.bdf}, cached` },
      evidence: [{ reading: `${entry.bdf} was asked at ${entry.at}, since boot`, source: this.#path }],
      findings: [],
    };
  }
}

/** Hot-plug may put another device at the same address. */
function identity(target: HwInfoTarget): string {
  return `${target.bdf} ${target.ids} ${target.smmu ?? '-'}`;
}

function readCache(path: string): CacheFile | undefined {
  try {
    return CacheFile.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

function stored(reply: HwInfoReply): z.infer<typeof Answered> | undefined {
  if (reply.kind !== 'answer') return undefined;
  const { kind, dataType, dataLen, maxPasidLog2 } = reply;
  const capabilities = reply.capabilities.toString(16).padStart(16, '0');
  return {
    kind,
    dataType,
    dataLen,
    maxPasidLog2,
    capabilities,
    data: Buffer.from(reply.data).toString('hex'),
  };
}

function storedCmdqv(reply: HwInfoReply): Entry['cmdqv'] | undefined {
  return reply.kind === 'answer' ? stored(reply) : storedRefusal(reply);
}

function storedNesting(reply: NestingReply): Entry['nesting'] | undefined {
  return reply.kind === 'allowed' ? { kind: 'allowed' } : storedRefusal(reply);
}

/** A refusal lasts; a want of memory or of time may pass. */
function storedRefusal(reply: Exclude<HwInfoReply, { kind: 'answer' }>): z.infer<typeof Failed> | undefined {
  const lasting = reply.kind === 'failed' && ['EOPNOTSUPP', 'ENOTTY'].includes(reply.errno);
  return lasting ? { kind: 'failed', step: reply.step, errno: reply.errno } : undefined;
}

function restored(entry: Entry['cmdqv'], source: string): HwInfoReply {
  if (entry.kind === 'failed') return { ...entry, source };
  return {
    ...entry,
    data: Uint8Array.from(Buffer.from(entry.data, 'hex')),
    capabilities: BigInt(`0x${entry.capabilities}`),
    source,
  };
}
