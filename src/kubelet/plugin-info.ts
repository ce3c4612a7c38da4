import { Registration } from '../gen/kubelet/pluginregistration/v1/api_pb.js';
import { service, type ServedService } from '../grpc/server.js';

export interface PluginInfo {
  readonly type: 'DevicePlugin' | 'DRAPlugin';
  /** The resource, or the DRA driver. */
  readonly name: string;
  /** Socket of the plugin; '': the one that this service is on. */
  readonly endpoint: string;
  /** "v1beta1" for a device plugin, short service names for a DRA driver; the kubelet takes the first it knows. */
  readonly versions: readonly string[];
}

/**
 * The service that the kubelet's plugin watcher calls on every socket it finds. GetInfo has 1 s; the kubelet tells
 * afterwards what came of it.
 */
export function pluginInfoService(
  info: PluginInfo,
  onStatus: (registered: boolean, error: string) => void,
): ServedService {
  return service(Registration, {
    getInfo: () => ({
      type: info.type,
      name: info.name,
      endpoint: info.endpoint,
      supportedVersions: [...info.versions],
    }),
    notifyRegistrationStatus: ({ pluginRegistered, error }) => {
      onStatus(pluginRegistered, error);
      return {};
    },
  });
}
