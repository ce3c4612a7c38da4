import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { VsmmuError } from '../errors.js';

/** What is needed for one request; asked for anew before each, so that a rotated token is picked up. */
export interface Credentials {
  /** PEM; undefined: the system's authorities. */
  readonly ca?: string | undefined;
  readonly token?: string | undefined;
  /** Client certificate and its key, both PEM. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** How to reach an API server, and as whom. */
export interface KubeAccess {
  /** "https://10.96.0.1:443" */
  readonly url: string;
  /** @param refused the API server refused the last ones (401): do not answer from memory */
  readonly credentials: (refused: boolean) => Promise<Credentials>;
}

export function staticAccess(url: string, credentials: Credentials): KubeAccess {
  return { url, credentials: () => Promise.resolve(credentials) };
}

/** Where the kubelet mounts a pod's identity. */
export const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The kubelet replaces a token at 80 % of its life, an hour or more; client-go re-reads each minute too. */
const REREAD_MS = 60_000;

export interface InClusterOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly dir?: string;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/**
 * A pod's own service account.
 *
 * @throws VsmmuError KUBE_CONFIG where this is no pod of a cluster
 */
export async function inClusterAccess({
  env,
  dir = SERVICE_ACCOUNT_DIR,
  now = () => performance.now(),
}: InClusterOptions): Promise<KubeAccess> {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT_HTTPS'] ?? env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === undefined || host === '')
    throw new VsmmuError('KUBE_CONFIG', 'this is no pod: KUBERNETES_SERVICE_HOST is not set', {
      remedy: 'Run it in a pod, or name the API server.',
    });
  let read = await readAccount(dir);
  let readAt = now();
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    credentials: async (refused) => {
      if (refused || now() - readAt >= REREAD_MS) {
        read = await readAccount(dir);
        readAt = now();
      }
      return read;
    },
  };
}

async function readAccount(dir: string): Promise<Credentials> {
  const read = async (name: string) => {
    const file = join(dir, name);
    try {
      return await readFile(file, 'utf8');
    } catch (cause) {
      throw new VsmmuError('KUBE_CONFIG', "the pod's service account cannot be read", {
        place: file,
        remedy: 'Give the pod a service account and mount its token.',
        cause,
      });
    }
  };
  const [token, ca] = await Promise.all([read('token'), read('ca.crt')]);
  return { token: token.trim(), ca };
}

/** The pod's namespace, as the kubelet wrote it. */
export async function inClusterNamespace(dir = SERVICE_ACCOUNT_DIR): Promise<string> {
  const file = join(dir, 'namespace');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new VsmmuError('KUBE_CONFIG', "the pod's namespace is not known", {
      place: file,
      remedy: 'Name the namespace on the command line.',
      cause,
    });
  }
}
