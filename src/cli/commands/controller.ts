import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

import { inClusterAccess, inClusterNamespace } from '../../cluster/access.js';
import { KubeClient } from '../../cluster/kube-client.js';
import { LeaderElection } from '../../cluster/leader-election.js';
import { ExitStatus, messageOf } from '../../errors.js';
import { FleetController } from '../../fleet/controller.js';
import { FleetCaches } from '../../fleet/fleet-caches.js';
import { type LogFormat, type LogLevel, winstonLog } from '../../log/winston-log.js';
import type { Log } from '../../log/log.js';
import type { PageServer } from '../../page/page-server.js';
import type { CliIo } from '../io.js';
import { serveControllerEndpoint } from '../controller-endpoint.js';
import { clusterClient, type ClusterOptions } from '../kubeconfig.js';
import { version } from '../version.js';

export interface ControllerCommandOptions extends ClusterOptions {
  /** Of the lease; the pod's own where it is not named. */
  readonly namespace?: string | undefined;
  readonly leaseName: string;
  readonly leaseSeconds: number;
  /** "ADDR:PORT"; absent: no page. */
  readonly pageListen?: string | undefined;
  /** "ADDR:PORT" of metrics and probes; absent: none. */
  readonly http?: string | undefined;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

/** `vsmmu controller`: runs until it is told to stop. Replicas beside the leader keep their caches warm. */
export async function runController(options: ControllerCommandOptions, io: CliIo): Promise<ExitStatus> {
  // Taken first: a SIGTERM that comes while it starts must stop it, not kill it.
  const { signal } = io;
  const log = winstonLog(io.stderr, { level: options.logLevel, format: options.logFormat });
  const client = await daemonClient(options, io);
  const namespace = options.namespace ?? (await inClusterNamespace());
  const identity = `${hostname()}_${randomBytes(4).toString('hex')}`;
  const caches = new FleetCaches(client, { signal });
  const { leaseName: name, leaseSeconds } = options;
  const election = new LeaderElection({
    client,
    lease: { namespace, name },
    identity,
    log,
    leaseSeconds,
    retryMs: (leaseSeconds * 1000) / 7.5,
  });
  const controller = new FleetController({ client, caches, identity, log });
  const page = await servePageIf(options.pageListen, client, caches, log);
  const { http } = options;
  const endpoint = http === undefined ? undefined : await serveControllerEndpoint(http, { caches, election });
  if (http !== undefined) log.info('Serving HTTP.', { listen: http, port: endpoint?.port });
  log.info('controller started', { identity, version });
  await Promise.all([caches.run(), election.run(signal, (term) => controller.lead(term))]);
  await page?.close();
  await endpoint?.close();
  client.close();
  return ExitStatus.ok;
}

/** In a pod without the general client, which costs 70 MB. */
async function daemonClient(options: ControllerCommandOptions, io: CliIo): Promise<KubeClient> {
  if (options.kubeconfig !== undefined) return clusterClient(options, io);
  return new KubeClient(await inClusterAccess({ env: io.env }), { userAgent: `vsmmu-controller/${version}` });
}

async function servePageIf(
  listen: string | undefined,
  client: KubeClient,
  caches: FleetCaches,
  log: Log,
): Promise<PageServer | undefined> {
  if (listen === undefined) return undefined;
  const { readAssets } = await import('../../page/assets.js');
  const { clusterSource } = await import('../../page/cluster-source.js');
  const { parsePageAddress } = await import('../../page/listen-address.js');
  const { servePage } = await import('../../page/page-server.js');
  const page = await servePage({
    ...parsePageAddress(listen),
    assets: await readAssets(),
    source: clusterSource(client, caches),
    onFailure: (message, error) => log.warn(message, { error: messageOf(error) }),
  });
  log.info('page served', { listen, port: page.port });
  return page;
}
