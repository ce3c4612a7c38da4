import { messageOf } from '../errors.js';
import type { Log } from '../log/log.js';
import type { AllocationContext } from './allocation.js';
import { announcementKey, type DeviceList } from './device-list.js';
import type { DirectoryWatch } from './directory-watch.js';
import { Feed } from './feed.js';
import { keepRegistered } from './keep-registered.js';
import { keepWatched } from './keep-watched.js';
import type { Metrics } from './metrics.js';
import { devicePluginService } from './plugin-server.js';
import type { KubeletDirectories } from './registration.js';
import type { ResourceName } from './resource-name.js';
import type { StreamCount } from './stream-count.js';

/** register: the plugin calls the kubelet, as Kubernetes documents. watcher: the kubelet finds the socket. */
export const REGISTRATION_MODES = ['register', 'watcher'] as const;
export type RegistrationMode = (typeof REGISTRATION_MODES)[number];

export interface ResourcePluginsOptions extends Omit<AllocationContext, 'resource' | 'devices'> {
  readonly mode: RegistrationMode;
  readonly directories: KubeletDirectories;
  readonly watch: DirectoryWatch;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Allocate found the host changed: what was advertised is out of date. */
  readonly onOutdated: () => void;
}

interface RunningPlugin {
  readonly feed: Feed<DeviceList>;
  readonly stop: AbortController;
  stopped: Promise<void>;
  /** The server as it is now. */
  streams: StreamCount | undefined;
  socket: string | undefined;
}

export interface PluginStatus {
  readonly devices: DeviceList;
  /** Does the kubelet watch the devices right now? */
  readonly watched: boolean;
  /** Path of the socket it is served on; undefined: not at the moment. */
  readonly socket: string | undefined;
}

/** The plugins of a node: one a resource, each with its own socket and its own registration. */
export class ResourcePlugins {
  readonly #options: ResourcePluginsOptions;
  readonly #running = new Map<ResourceName, RunningPlugin>();
  /** Former plugins of a resource that still end: the kubelet must not see two at once (keep-registered.ts). */
  readonly #ending = new Map<ResourceName, Promise<void>>();
  #closed = false;

  constructor(options: ResourcePluginsOptions) {
    this.#options = options;
  }

  get status(): ReadonlyMap<ResourceName, PluginStatus> {
    const entries = [...this.#running].map(
      ([name, { feed, streams, socket }]): [ResourceName, PluginStatus] => [
        name,
        { devices: feed.value, watched: (streams?.open ?? 0) > 0, socket },
      ],
    );
    return new Map(entries);
  }

  /** Announces the devices of a resource, starting its plugin where there is none yet. */
  announce(resource: ResourceName, devices: DeviceList): void {
    if (this.#closed) return;
    const plugin = this.#running.get(resource);
    if (plugin === undefined) this.#start(resource, devices);
    else plugin.feed.set(devices);
  }

  /** Takes every other resource out of service: its devices have another name now, or none. */
  keepOnly(resources: { has(resource: ResourceName): boolean }): void {
    for (const [resource, plugin] of this.#running) {
      if (resources.has(resource)) continue;
      this.#running.delete(resource);
      const ended = withdraw(plugin).finally(() => {
        if (this.#ending.get(resource) === ended) this.#ending.delete(resource);
      });
      this.#ending.set(resource, ended);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const plugins = [...this.#running.values()];
    this.#running.clear();
    for (const { stop } of plugins) stop.abort();
    await Promise.all([...this.#ending.values(), ...plugins.map(({ stopped }) => stopped)]);
  }

  #start(resource: ResourceName, devices: DeviceList): void {
    const { mode, directories, watch, log, metrics } = this.#options;
    const feed = new Feed(devices, announcementKey);
    const stop = new AbortController();
    const keep = mode === 'register' ? keepRegistered : keepWatched;
    const plugin: RunningPlugin = {
      feed,
      stop,
      stopped: Promise.resolve(),
      streams: undefined,
      socket: undefined,
    };
    this.#running.set(resource, plugin);
    const registered = {
      resource,
      directories,
      watch,
      log,
      serviceFor: (streams: StreamCount) => {
        plugin.streams = streams;
        return this.#service(resource, feed, streams);
      },
      onServing: (socket: string) => {
        plugin.socket = socket;
      },
      onRegistered: () => metrics.add('vsmmu_registrations_total', { resource }),
      onRefused: () => metrics.add('vsmmu_registration_failures_total', { resource }),
    };
    plugin.stopped = (this.#ending.get(resource) ?? Promise.resolve())
      .then(() => keep(registered, stop.signal))
      .catch((error: unknown) => {
        log.error('A device plugin ended.', { resource, reason: messageOf(error) });
      });
  }

  #service(resource: ResourceName, feed: Feed<DeviceList>, streams: StreamCount) {
    const { source, isBusy, claims, settings, log, metrics, onOutdated } = this.#options;
    return devicePluginService({
      resource,
      source,
      isBusy,
      claims,
      settings,
      feed,
      log,
      events: {
        streamOpened: () => streams.opened(),
        streamEnded: () => streams.ended(),
        allocated: (durationMs, failed) => {
          metrics.observe('vsmmu_allocate_seconds', {}, durationMs / 1000);
          metrics.add('vsmmu_allocations_total', { resource, outcome: failed ? 'refused' : 'ok' });
          if (failed) onOutdated();
        },
      },
    });
  }
}

/** An empty list first, so that the kubelet's capacity follows at once. */
async function withdraw(plugin: RunningPlugin): Promise<void> {
  plugin.feed.set([]);
  // The empty list is written in this turn's callbacks; closing in the same turn would overtake it.
  await new Promise(setImmediate);
  plugin.stop.abort();
  await plugin.stopped;
}
