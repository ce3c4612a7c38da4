import { featuresOf } from '../host/features.js';
import { openHost } from '../host/open-host.js';
import { probeHost } from '../host/probe.js';
import type { HostReport } from '../host/report.js';
import type { HostFeatures } from '../smmu/features.js';
import type { CliIo } from './io.js';

/** Probes the host that `--host DIR` names, or this machine. */
export async function probe(host: string | undefined, io: CliIo): Promise<HostReport> {
  const source = await openHost({ host });
  try {
    return await probeHost(source, { signal: io.signal });
  } finally {
    await source.close();
  }
}

/** What the rules need of it: devices that a VM can be given, as they are now. */
export async function probeFeatures(host: string | undefined, io: CliIo): Promise<HostFeatures> {
  return featuresOf(await probe(host, io));
}
