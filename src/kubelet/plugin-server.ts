import { parseBdf, type Bdf } from '../bdf.js';
import { DevicePlugin } from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { service, type ServedService } from '../grpc/server.js';
import { RpcError } from '../grpc/status.js';
import { withFields, type Log } from '../log/log.js';
import { messageOf } from '../errors.js';
import { allocate, type AllocationContext, type ContainerAllocation } from './allocation.js';
import { wireList, type DeviceList } from './device-list.js';
import type { Feed } from './feed.js';
import type { PluginDevice } from './plugin-device.js';
import { preferDevices } from './preference.js';
import type { ResourceName } from './resource-name.js';

/** What a plugin tells of its calls; for metrics and for the one who keeps it registered. */
export interface PluginEvents {
  streamOpened(): void;
  streamEnded(): void;
  /** Milliseconds of one Allocate, and whether it failed. */
  allocated(durationMs: number, failed: boolean): void;
}

export interface PluginServerOptions extends Omit<AllocationContext, 'devices'> {
  readonly resource: ResourceName;
  readonly feed: Feed<DeviceList>;
  readonly events: PluginEvents;
  readonly log: Log;
}

/** The kubelet's v1beta1 device plugin service for one resource. */
export function devicePluginService(options: PluginServerOptions): ServedService {
  const log = withFields(options.log, { resource: options.resource });
  return service(DevicePlugin, {
    getDevicePluginOptions: () => ({ getPreferredAllocationAvailable: true }),
    listAndWatch: (_, { signal }) => announce(options, signal, log),
    getPreferredAllocation: ({ containerRequests }) => ({
      containerResponses: containerRequests.map((request) => ({
        deviceIDs: prefer(options.feed.value, request),
      })),
    }),
    allocate: async ({ containerRequests }) => {
      const containerResponses: ContainerAllocation[] = [];
      for (const { devicesIds } of containerRequests)
        containerResponses.push(await answer(devicesIds, options, log));
      return { containerResponses };
    },
    preStartContainer: () => {
      throw new RpcError('UNIMPLEMENTED', 'PreStartContainer is not needed and was not asked for');
    },
  });
}

/**
 * A kubelet up to 1.36 that sees an older stream of the same resource end marks all devices unhealthy, also when that
 * comes after this stream's first list (a rolling update, two agents at once). Nothing tells us; saying the list
 * again heals it. Twice is enough: an old stream ends soon after the new one registered.
 */
const REPEATS_MS = [1000, 5000] as const;

async function* announce({ feed, events }: PluginServerOptions, signal: AbortSignal, log: Log) {
  events.streamOpened();
  log.debug('The kubelet watches the devices.');
  try {
    for await (const devices of feed.watch(signal, REPEATS_MS)) yield wireList(devices);
  } finally {
    events.streamEnded();
  }
}

function prefer(
  devices: DeviceList,
  request: { availableDeviceIDs: string[]; mustIncludeDeviceIDs: string[]; allocationSize: number },
): string[] {
  const named = (ids: readonly string[]) => {
    const wanted = new Set(ids);
    return devices.filter(({ bdf }) => wanted.has(bdf));
  };
  const preferred = preferDevices(
    named(request.availableDeviceIDs),
    named(request.mustIncludeDeviceIDs),
    request.allocationSize,
  );
  return preferred.map(({ bdf }) => bdf);
}

async function answer(
  ids: readonly string[],
  options: PluginServerOptions,
  log: Log,
): Promise<ContainerAllocation> {
  const start = performance.now();
  const done = (failed: boolean) => options.events.allocated(performance.now() - start, failed);
  try {
    const allocation = await allocate(ids, { ...options, devices: byBdf(ids, options.feed.value) });
    log.info('Devices handed out.', { devices: ids.join(',') });
    done(false);
    return allocation;
  } catch (error) {
    log.warn('Devices refused.', { devices: ids.join(','), reason: messageOf(error) });
    done(true);
    throw error;
  }
}

function byBdf(ids: readonly string[], devices: DeviceList): ReadonlyMap<Bdf, PluginDevice> {
  const wanted = new Set(ids.map((id) => parseBdf(id)));
  return new Map(devices.filter(({ bdf }) => wanted.has(bdf)).map((device) => [device.bdf, device]));
}
