import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { DevicePlugin, Registration } from '../../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { unixClient, type UnixClient } from '../../grpc/client.js';
import { service, serveUnix } from '../../grpc/server.js';

export interface Advertised {
  readonly resource: string;
  readonly devices: readonly { readonly id: string; readonly health: string; readonly numa: string }[];
  readonly plugin: UnixClient<typeof DevicePlugin>;
}

export interface DemoKubelet {
  /** Resolves when that many resources have registered and named their devices. */
  advertised(resources: number): Promise<readonly Advertised[]>;
  close(): Promise<void>;
}

/**
 * Plays the kubelet's side of the device plugin API over real sockets: Register, then back to the plugin for its
 * options and its first device list, as k8s.io/kubernetes v1.36 pkg/kubelet/cm/devicemanager does.
 */
export async function playKubelet(kubeletDir: string): Promise<DemoKubelet> {
  const dir = join(kubeletDir, 'device-plugins');
  await mkdir(dir, { recursive: true });
  const seen: Advertised[] = [];
  const streams = new AbortController();
  let changed: () => void = () => undefined;

  const watch = async (resource: string, endpoint: string) => {
    const plugin = unixClient(DevicePlugin, join(dir, endpoint));
    await plugin.call.getDevicePluginOptions({});
    for await (const { devices } of plugin.call.listAndWatch({}, { signal: streams.signal })) {
      seen.push({
        resource,
        plugin,
        devices: devices.map(({ ID, health, topology }) => ({
          id: ID,
          health,
          numa: topology?.nodes.map((node) => String(node.ID)).join(',') ?? '-',
        })),
      });
      changed();
    }
  };
  const server = await serveUnix(join(dir, 'kubelet.sock'), [
    service(Registration, {
      register: ({ resourceName, endpoint }) => {
        // The stream ends when the demo does; that is no failure.
        void watch(resourceName, endpoint).catch(() => undefined);
        return {};
      },
    }),
  ]);
  return {
    async advertised(resources) {
      while (seen.length < resources) {
        await new Promise<void>((resolve) => {
          changed = resolve;
        });
      }
      return seen;
    },
    async close() {
      streams.abort();
      for (const { plugin } of seen) plugin.close();
      await server.close();
    },
  };
}
