import { messageOf } from '../errors.js';
import type { Log } from '../log/log.js';
import { announcementKey, devicePluginService, type DeviceList } from './plugin-server.js';
import type { AllocationContext } from './allocation.js';
import type { DirectoryWatch } from './directory-watch.js';
import { Feed } from './feed.js';
import { keepRegistered } from './keep-registered.js';
import type { KubeletDirectories } from './registration.js';
import type { ResourceName } from './resource-name.js';

export interface ResourcePluginsOptions extends Omit<AllocationContext, 'resource' | 'devices'> {
  readonly directories: KubeletDirectories;
  readonly watch: DirectoryWatch;
  readonly log: Log;
  readonly onAllocated: (resource: ResourceName, durationMs: number, failed: boolean) => void;
}

interface RunningPlugin {
  readonly feed: Feed<DeviceList>;
  readonly stop: AbortController;
  readonly stopped: Promise<void>;
  registrations: number;
}

/** The plugins of a node: one a resource, each with its own socket and its own registration. */
export class ResourcePlugins {
  readonly #options: ResourcePluginsOptions;
  readonly #running = new Map<ResourceName, RunningPlugin>();

  constructor(options: ResourcePluginsOptions) {
    this.#options = options;
  }

  get resources(): ReadonlyMap<ResourceName, DeviceList> {
    return new Map([...this.#running].map(([name, { feed }]) => [name, feed.value]));
  }

  /** How often the kubelet took the resource's registration; undefined: there is no such resource. */
  registrations(resource: ResourceName): number | undefined {
    return this.#running.get(resource)?.registrations;
  }

  /** Announces the devices of a resource, starting its plugin where there is none yet. */
  announce(resource: ResourceName, devices: DeviceList): void {
    const plugin = this.#running.get(resource);
    if (plugin === undefined) this.#start(resource, devices);
    else plugin.feed.set(devices);
  }

  /** Takes a resource out of service: an empty list first, so that the kubelet's capacity follows at once. */
  async withdraw(resource: ResourceName): Promise<void> {
    const plugin = this.#running.get(resource);
    if (plugin === undefined) return;
    this.#running.delete(resource);
    plugin.feed.set([]);
    // The empty list is written in this turn's callbacks; closing in the same turn would overtake it.
    await new Promise(setImmediate);
    plugin.stop.abort();
    await plugin.stopped;
  }

  async close(): Promise<void> {
    const plugins = [...this.#running.values()];
    this.#running.clear();
    for (const { stop } of plugins) stop.abort();
    await Promise.all(plugins.map(({ stopped }) => stopped));
  }

  #start(resource: ResourceName, devices: DeviceList): void {
    const { directories, watch, log, onAllocated, ...allocation } = this.#options;
    const feed = new Feed(devices, announcementKey);
    const stop = new AbortController();
    const stopped = keepRegistered(
      {
        resource,
        directories,
        watch,
        log,
        serviceFor: (streams) =>
          devicePluginService({
            ...allocation,
            resource,
            feed,
            log,
            events: {
              streamOpened: () => streams.opened(),
              streamEnded: () => streams.ended(),
              allocated: (durationMs, failed) => onAllocated(resource, durationMs, failed),
            },
          }),
        onRegistered: () => {
          plugin.registrations++;
        },
      },
      stop.signal,
    ).catch((error: unknown) => {
      log.error('A device plugin ended.', { resource, reason: messageOf(error) });
    });
    const plugin: RunningPlugin = { feed, stop, stopped, registrations: 0 };
    this.#running.set(resource, plugin);
  }
}
