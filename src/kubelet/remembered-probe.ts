import type { DeviceReplies } from '../host/hw-info.js';
import type { HostSource } from '../host/host-source.js';

/** What each device once answered in the life of this process, by BDF and vfio-dev name. */
export type ProbeMemory = Map<string, DeviceReplies>;

/**
 * The same host, but no device is asked twice. Asking binds the device, which resets it. The host's own cache keeps
 * answers since boot; this one also keeps what the kernel refused after a bind, or each scan would reset the device
 * to be refused again.
 */
export function rememberReplies(source: HostSource, memory: ProbeMemory): HostSource {
  return {
    origin: source.origin,
    findings: source.findings,
    readText: (path) => source.readText(path),
    readBytes: (path) => source.readBytes(path),
    readLink: (path) => source.readLink(path),
    list: (path) => source.list(path),
    exists: (path) => source.exists(path),
    pciConfig: (bdf) => source.pciConfig(bdf),
    devicesBeyondSysfs: () => source.devicesBeyondSysfs(),
    close: () => source.close(),
    hwInfo: async (target) => {
      const key = `${target.bdf} ${target.vfioName ?? '-'}`;
      const remembered = memory.get(key);
      if (remembered !== undefined) return remembered;
      const replies = await source.hwInfo(target);
      if (wasBound(replies)) memory.set(key, replies);
      return replies;
    },
  };
}

function wasBound({ hwInfo }: DeviceReplies): boolean {
  return hwInfo.kind === 'answer' || (hwInfo.kind === 'failed' && hwInfo.step === 'hw-info');
}
