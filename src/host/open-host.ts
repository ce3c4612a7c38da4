import type { HostSource } from './host-source.js';
import { openLiveHost, type LiveHostOptions } from './live-host.js';

export interface OpenHostOptions extends LiveHostOptions {
  /** A recording's folder; the live host where it is undefined. */
  readonly host?: string | undefined;
}

/** The host that a command's `--host DIR` names: a recording, or else the live one. */
export async function openHost(options: OpenHostOptions = {}): Promise<HostSource> {
  const { host, ...live } = options;
  if (host === undefined) return openLiveHost(live);
  // A recording's readers and their schemas are 3 MiB that a live host does without.
  const { openRecording } = await import('./recording.js');
  return openRecording(host);
}
