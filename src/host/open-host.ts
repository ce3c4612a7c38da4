import type { HostSource } from './host-source.js';
import { openLiveHost, type LiveHostOptions } from './live-host.js';
import { openRecording } from './recording.js';

export interface OpenHostOptions extends LiveHostOptions {
  /** A recording's folder; the live host where it is undefined. */
  readonly host?: string | undefined;
}

/** The host that a command's `--host DIR` names: a recording, or else the live one. */
export async function openHost(options: OpenHostOptions = {}): Promise<HostSource> {
  const { host, ...live } = options;
  return host === undefined ? openLiveHost(live) : openRecording(host);
}
