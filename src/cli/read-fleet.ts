import type { FleetView } from '../fleet/view.js';
import { clusterFleet } from './cluster-fleet.js';
import type { CliIo } from './io.js';
import { clusterClient, type ClusterOptions } from './kubeconfig.js';
import { offlineFleet } from './offline-fleet.js';

export interface FleetOptions extends ClusterOptions {
  /** Recordings; with any, no cluster is asked. */
  readonly host: readonly string[];
  readonly objects: readonly string[];
}

/** The fleet that a command is about: recordings where any are named, else the cluster. */
export async function readFleet(options: FleetOptions, io: CliIo): Promise<FleetView> {
  if (isOffline(options)) return offlineFleet({ hosts: options.host, objects: options.objects }, io);
  const client = await clusterClient(options, io);
  try {
    return await clusterFleet(client, (text) => io.stderr.write(`${text}\n`));
  } finally {
    client.close();
  }
}

export function isOffline({ host, objects }: FleetOptions): boolean {
  return host.length > 0 || objects.length > 0;
}
