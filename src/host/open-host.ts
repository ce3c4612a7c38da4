import type { HostSource } from './host-source.js';
import type { LiveHostOptions } from './live-host.js';

export interface OpenHostOptions extends LiveHostOptions {
  /** A recording's folder; the live host where it is undefined. */
  readonly host?: string | undefined;
}

/** The host that a command's `--host DIR` names: a recording, or else the live one. */
export async function openHost(options: OpenHostOptions = {}): Promise<HostSource> {
  const { host, ...live } = options;
  // Each does without what the other loads: 3 MiB of readers here, schemas and 15 ms there.
  if (host === undefined) {
    const { openLiveHost } = await import('./live-host.js');
    return openLiveHost(live);
  }
  const { openRecording } = await import('./recording.js');
  return openRecording(host);
}
