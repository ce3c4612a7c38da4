import type { DeviceReplies } from '../host/hw-info.js';
import type { HostSource } from '../host/host-source.js';

/** What each device once answered, by BDF and vfio-dev name. A reset SMMU answers the same; a reboot starts anew. */
export type ProbeMemory = Map<string, DeviceReplies>;

/**
 * The same host, but no device is asked twice. Asking binds the device, which resets it, and is impossible while
 * a VM has it: without the memory every scan would cost a reset, and a device in use would lose its features.
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
      if (replies.hwInfo.kind === 'answer') memory.set(key, replies);
      return replies;
    },
  };
}
