import { compareBdf, type Bdf } from '../bdf.js';
import { messageOf } from '../errors.js';
import type { HostSource } from '../host/host-source.js';
import type { HostReport } from '../host/report.js';
import type { Log } from '../log/log.js';
import type { IommufdPolicy } from './allocation.js';
import { DirectoryWatch } from './directory-watch.js';
import { GroupClaims } from './group-claims.js';
import { takeInventory, type Inventory, type Naming } from './inventory.js';
import { pause } from './pause.js';
import { unhealthy, type PluginDevice } from './plugin-device.js';
import { listDevicesInUse } from './pod-resources.js';
import { kubeletDirectories, type KubeletDirectories } from './registration.js';
import { refuseCollisions, type ResourceName } from './resource-name.js';
import { ResourcePlugins } from './resource-plugins.js';
import { reportChanges } from './changes.js';

export interface AgentOptions {
  /** "/var/lib/kubelet" */
  readonly kubeletDir: string;
  /** The host as it is now, for the checks in Allocate; its hwInfo is never asked. */
  readonly source: Pick<HostSource, 'readLink' | 'list' | 'exists'>;
  /** Everything there is to know of the host; costs a scan of sysfs. */
  readonly scan: (signal: AbortSignal) => Promise<HostReport>;
  readonly naming: Naming;
  readonly iommufd: IommufdPolicy;
  /** Between two scans without a hint, ms. */
  readonly rescanMs: number;
  /** Directories whose changes mean that devices came or went; none for a recording. */
  readonly hints: readonly string[];
  readonly log: Log;
}

/** While devices are handed out, the kubelet is asked so often whether they still are, ms. */
const RECONCILE_MS = 10_000;
const SETTLE_MS = 200;

/**
 * Advertises a node's devices to its kubelet until the signal aborts.
 *
 * @throws VsmmuError only for what a restart can't cure; a missing kubelet or an unreadable device is waited for.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const agent = new Agent(options);
  try {
    await agent.run(signal);
  } finally {
    await agent.close();
  }
}

const NO_INVENTORY: Inventory = { resources: new Map(), notAdvertised: [] };

class Agent {
  readonly #options: AgentOptions;
  readonly #directories: KubeletDirectories;
  readonly #claims = new GroupClaims();
  readonly #watch: DirectoryWatch;
  readonly #hints: readonly DirectoryWatch[];
  readonly #plugins: ResourcePlugins;
  #inventory = NO_INVENTORY;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#directories = kubeletDirectories(options.kubeletDir);
    this.#watch = new DirectoryWatch(this.#directories.devicePlugins);
    this.#hints = options.hints.map((path) => new DirectoryWatch(path));
    this.#plugins = new ResourcePlugins({
      source: options.source,
      claims: this.#claims,
      iommufd: options.iommufd,
      directories: this.#directories,
      watch: this.#watch,
      log: options.log,
      onAllocated: () => this.#publish(),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const scanning = this.#keepScanning(signal);
    while (!signal.aborted) {
      await pause(RECONCILE_MS, signal);
      if (this.#claims.size > 0 && (await this.#learnClaims())) this.#publish();
    }
    await scanning;
  }

  async close(): Promise<void> {
    for (const watch of this.#hints) watch.close();
    await this.#plugins.close();
    this.#watch.close();
  }

  async #keepScanning(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#rescan(signal);
      await this.#untilHint(signal);
    }
  }

  async #rescan(signal: AbortSignal): Promise<void> {
    const { scan, naming, log } = this.#options;
    try {
      const host = await scan(signal);
      const next = takeInventory({ host, naming });
      refuseCollisions(next.resources.keys());
      reportChanges(this.#inventory, next, log);
      this.#inventory = keepVanished(this.#inventory, next);
      await this.#learnClaims();
      this.#publish();
    } catch (error) {
      if (!signal.aborted) log.error('The host could not be scanned.', { reason: messageOf(error) });
    }
  }

  /** Tells the plugins what the last scan found, less what is taken through a group mate. */
  #publish(): void {
    for (const [resource, devices] of this.#inventory.resources) {
      this.#plugins.announce(
        resource,
        devices.map((device) => this.#withClaims(device)),
      );
    }
  }

  #withClaims(device: PluginDevice): PluginDevice {
    const obstacle = device.health.healthy ? this.#claims.obstacle(device) : undefined;
    return obstacle === undefined ? device : { ...device, health: unhealthy(obstacle) };
  }

  /**
   * Learns from the kubelet which devices pods have.
   *
   * @returns whether that changes what may be handed out.
   */
  async #learnClaims(): Promise<boolean> {
    try {
      const inUse = await listDevicesInUse(this.#directories.podResourcesSocket);
      const devices = [...this.#inventory.resources.values()].flat();
      return this.#claims.reconcile(new Set(inUse.map(({ bdf }) => bdf)), devices);
    } catch (error) {
      this.#options.log.debug('The kubelet does not tell which devices pods have.', {
        reason: messageOf(error),
      });
      return false;
    }
  }

  async #untilHint(signal: AbortSignal): Promise<void> {
    const settled = new AbortController();
    const stop = AbortSignal.any([signal, settled.signal]);
    const { rescanMs } = this.#options;
    await Promise.race([pause(rescanMs, stop), ...this.#hints.map((watch) => watch.hint(stop))]);
    settled.abort();
    // Binding a driver makes several nodes; one scan shall see them all.
    await pause(SETTLE_MS, signal);
  }
}

/** A device that was advertised and is not found any more stays in its resource as unhealthy: a pod may have it. */
function keepVanished(before: Inventory, now: Inventory): Inventory {
  const found = new Set([...now.resources.values()].flatMap((devices) => devices.map(({ bdf }) => bdf)));
  const reasons = new Map<Bdf, string>(now.notAdvertised.map(({ bdf, reason }) => [bdf, reason]));
  const resources = new Map<ResourceName, readonly PluginDevice[]>(now.resources);
  for (const [resource, devices] of before.resources) {
    const vanished = devices
      .filter(({ bdf }) => !found.has(bdf))
      .map((device) => ({
        ...device,
        health: unhealthy(reasons.get(device.bdf) ?? 'it is gone from the host'),
      }));
    const all = [...(now.resources.get(resource) ?? []), ...vanished];
    resources.set(
      resource,
      all.sort((a, b) => compareBdf(a.bdf, b.bdf)),
    );
  }
  return { ...now, resources };
}
