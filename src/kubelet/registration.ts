import { lstatSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Registration } from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { unixClient } from '../grpc/client.js';
import type { ResourceName } from './resource-name.js';

/** Where the kubelet and its plugins meet; "/var/lib/kubelet" by default. */
export interface KubeletDirectories {
  /** Sockets of device plugins and the kubelet's own; the kubelet removes every socket in it when it starts. */
  readonly devicePlugins: string;
  readonly kubeletSocket: string;
  /** Sockets the kubelet's plugin watcher finds by itself. */
  readonly pluginsRegistry: string;
  readonly plugins: string;
  readonly podResourcesSocket: string;
}

export function kubeletDirectories(root: string): KubeletDirectories {
  return {
    devicePlugins: join(root, 'device-plugins'),
    kubeletSocket: join(root, 'device-plugins/kubelet.sock'),
    pluginsRegistry: join(root, 'plugins_registry'),
    plugins: join(root, 'plugins'),
    podResourcesSocket: join(root, 'pod-resources/kubelet.sock'),
  };
}

/**
 * Identity of the kubelet's socket on disk; a restarted kubelet has another one. The inode number alone may be
 * reused at once, and ctime changes with an SELinux label. undefined: it is not there.
 */
export function socketIdentity(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSocket() === true ? `${found.dev}:${found.ino}:${found.birthtimeMs}` : undefined;
}

/**
 * Within Register the kubelet dials the plugin (up to 10 s) and asks for its options; only then does it answer.
 * The plugin must serve before it registers, and this must allow for both.
 */
const REGISTER_TIMEOUT_MS = 15_000;

/** One attempt to register; failures are thrown as RpcError. */
export async function register(
  kubeletSocket: string,
  endpoint: string,
  resource: ResourceName,
): Promise<void> {
  if (dirname(endpoint) !== dirname(kubeletSocket)) {
    throw new Error(`${endpoint} must stand beside ${kubeletSocket}: the kubelet takes a file name only`);
  }
  const client = unixClient(Registration, kubeletSocket);
  try {
    await client.call.register(
      {
        version: 'v1beta1',
        endpoint: basename(endpoint),
        resourceName: resource,
        options: { getPreferredAllocationAvailable: true },
      },
      { timeoutMs: REGISTER_TIMEOUT_MS },
    );
  } finally {
    client.close();
  }
}
