import type { Cluster, KubeConfig } from '@kubernetes/client-node';
import type { RequestOptions } from 'node:https';
import { delimiter } from 'node:path';

import type { KubeAccess } from '../cluster/access.js';
import { inClusterAccess, staticAccess } from '../cluster/access.js';
import { KubeClient } from '../cluster/kube-client.js';
import { messageOf, VsmmuError } from '../errors.js';
import type { CliIo } from './io.js';
import { version } from './version.js';

export interface ClusterOptions {
  /** A file instead of KUBECONFIG or ~/.kube/config. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** A client for a person's cluster, as kubectl would choose it: the kubeconfig, or else the pod's own account. */
export async function clusterClient(options: ClusterOptions, io: CliIo): Promise<KubeClient> {
  return new KubeClient(await accessOf(options, io), { userAgent: `vsmmu/${version}` });
}

async function accessOf({ kubeconfig, context }: ClusterOptions, io: CliIo): Promise<KubeAccess> {
  const named = kubeconfig ?? io.env['KUBECONFIG'];
  if (named === undefined && io.env['KUBERNETES_SERVICE_HOST'] !== undefined)
    return inClusterAccess({ env: io.env });
  const files = kubeconfig === undefined ? (named?.split(delimiter) ?? []) : [kubeconfig];
  // Exec plugins and OIDC are the reason for the general client; daemons never load it.
  const client = await import('@kubernetes/client-node');
  try {
    const config = loadConfig(client.KubeConfig, files);
    if (context !== undefined) config.setCurrentContext(context);
    const cluster = currentCluster(config, named !== undefined);
    const https: RequestOptions = {};
    await config.applyToHTTPSOptions(https);
    const authorization = new Headers(headersOf(https.headers)).get('authorization');
    return staticAccess(cluster.server, {
      ca: pem(https.ca),
      cert: pem(https.cert),
      key: pem(https.key),
      token: authorization?.replace(/^Bearer /, '') ?? undefined,
    });
  } catch (cause) {
    throw new VsmmuError('KUBE_CONFIG', `the kubeconfig cannot be used: ${messageOf(cause)}`, {
      place: named ?? '~/.kube/config',
      remedy: 'Name one with --kubeconfig and a context in it with --context, or use recordings: --host DIR.',
      cause,
    });
  }
}

/** @param named was a file named? Without any the general client makes up a cluster */
function currentCluster(config: KubeConfig, named: boolean): Cluster {
  const cluster = config.getCurrentCluster();
  const context: string | undefined = config.getCurrentContext();
  if (cluster === null)
    throw new TypeError(context ? `there is no context ${context}` : 'it names no current context');
  if (!named && cluster.server === 'http://localhost:8080')
    throw new TypeError('there is none, and this is no pod of a cluster');
  if (!cluster.server.startsWith('https:')) throw new TypeError(`${cluster.server} is no HTTPS address`);
  return cluster;
}

/** Several files are merged, as kubectl does with KUBECONFIG. */
function loadConfig(type: typeof KubeConfig, [first, ...others]: readonly string[]): KubeConfig {
  const config = new type();
  if (first === undefined) config.loadFromDefault();
  else config.loadFromFile(first);
  for (const file of others) {
    const more = new type();
    more.loadFromFile(file);
    config.mergeConfig(more);
  }
  return config;
}

/** node:https takes headers in several forms; the client sets single texts only. */
function headersOf(headers: unknown): Record<string, string> {
  if (typeof headers !== 'object' || headers === null) return {};
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
}

function pem(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : undefined;
}
