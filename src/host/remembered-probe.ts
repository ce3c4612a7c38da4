import type { DeviceReplies } from './hw-info.js';
import { withHwInfo, type HostSource } from './host-source.js';

/** What each device once answered in the life of this process, by BDF and vfio-dev name. */
export type ProbeMemory = Map<string, DeviceReplies>;

/**
 * The same host, but no device is asked twice. Asking binds the device, which resets it. The host's own cache keeps
 * answers since boot; this one also keeps what the kernel refused after a bind, or each scan would reset the device
 * to be refused again.
 */
export function rememberReplies(source: HostSource, memory: ProbeMemory): HostSource {
  return withHwInfo(source, async (target, signal) => {
    const key = `${target.bdf} ${target.vfioName ?? '-'}`;
    const remembered = memory.get(key);
    if (remembered !== undefined) return remembered;
    const replies = await source.hwInfo(target, signal);
    if (wasBound(replies)) memory.set(key, replies);
    return replies;
  });
}

function wasBound({ hwInfo }: DeviceReplies): boolean {
  return hwInfo.kind === 'answer' || (hwInfo.kind === 'failed' && hwInfo.step === 'hw-info');
}
