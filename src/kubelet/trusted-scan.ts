import { VsmmuError } from '../errors.js';
import type { HostSource, Read } from '../host/host-source.js';
import type { HostReport } from '../host/report.js';

/** What a read fails with when this process or machine has run short, whatever the host holds. */
const SHORTAGES: Readonly<Record<string, string>> = {
  EMFILE: 'Raise the limit of open files (ulimit -n).',
  ENFILE: "Raise the machine's limit of open files (sysctl fs.file-max).",
  ENOMEM: 'Give the machine more memory, or run less on it.',
};

/** Did the read fail for want of something of ours? Then it says nothing of the host. */
export function isShortage(read: Read<unknown>): boolean {
  return !read.ok && read.errno in SHORTAGES;
}

/**
 * A scan without a shortage in any of its reads. A device that could not be read would else be taken for one that is
 * gone, and the node would lose its capacity to a leak elsewhere.
 *
 * @throws VsmmuError SCAN_SHORTAGE
 */
export async function scanTrusted(
  source: HostSource,
  scan: (source: HostSource) => Promise<HostReport>,
): Promise<HostReport> {
  let shortage: { readonly errno: string; readonly because: string } | undefined;
  const noted = <T>(read: Read<T>): Read<T> => {
    if (!read.ok && isShortage(read)) shortage ??= read;
    return read;
  };
  const report = await scan({
    origin: source.origin,
    findings: source.findings,
    readText: (path) => noted(source.readText(path)),
    readBytes: (path) => noted(source.readBytes(path)),
    readLink: (path) => noted(source.readLink(path)),
    list: (path) => noted(source.list(path)),
    exists: (path) => noted(source.exists(path)),
    pciConfig: (bdf) => noted(source.pciConfig(bdf)),
    devicesBeyondSysfs: () => source.devicesBeyondSysfs(),
    hwInfo: (target, signal) => source.hwInfo(target, signal),
    close: () => source.close(),
  });
  if (shortage === undefined) return report;
  throw new VsmmuError('SCAN_SHORTAGE', `The host could not be read: ${shortage.because}`, {
    remedy: SHORTAGES[shortage.errno] ?? '',
  });
}
