import { hostDevicesOf } from '../domain/host-devices.js';
import type { HostFeatures } from '../smmu/features.js';
import { probeFeatures } from './host.js';
import type { CliIo } from './io.js';

export interface DomainHost {
  /** Names the document in messages. */
  readonly source: string;
  /** Folder of a recording; the live host where it is undefined. */
  readonly host: string | undefined;
  /** All passed-through devices matter, not only those behind accelerated vSMMUs. */
  readonly all: boolean;
}

/** A probe resets idle devices, so the host is asked only where the domain depends on it. */
export async function featuresFor(
  text: string,
  { source, host, all }: DomainHost,
  io: CliIo,
): Promise<HostFeatures> {
  if (hostDevicesOf(text, { source, all }).length > 0) return probeFeatures(host, io);
  return { origin: host === undefined ? 'this host' : `recording ${host}`, devices: new Map() };
}
