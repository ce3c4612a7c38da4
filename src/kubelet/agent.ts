import type { Bdf } from '../bdf.js';
import { messageOf } from '../errors.js';
import { ChangeBell } from '../host/change-bell.js';
import { fingerprint } from '../host/fingerprint.js';
import type { HintSource } from '../host/hints.js';
import type { HostSource } from '../host/host-source.js';
import type { HostReport } from '../host/report.js';
import type { Log } from '../log/log.js';
import { nodePaths, type AllocationSettings, type IommufdPolicy } from './allocation.js';
import { ClaimsOfPods, groupMembers } from './claims-of-pods.js';
import { changesBetween, logChanges, type Change } from './changes.js';
import { namingOf, type AgentConfig } from './config/agent-config.js';
import { refuseCollisions } from './config/collisions.js';
import { withinListLimit } from './device-list.js';
import { asItIsNow, checkDevice } from './device-nodes.js';
import { DirectoryWatch } from './directory-watch.js';
import type { Feed } from './feed.js';
import type { BusyCheck } from './group-busy.js';
import type { GroupClaims } from './group-claims.js';
import { takeInventory, type Inventory } from './inventory.js';
import { keepVanished } from './inventory-history.js';
import type { Metrics } from './metrics.js';
import { PciCdiSpec } from './pci-cdi-spec.js';
import { unhealthy, type PluginDevice } from './plugin-device.js';
import { kubeletDirectories, type KubeletDirectories } from './registration.js';
import { ResourcePlugins, type PluginStatus, type RegistrationMode } from './resource-plugins.js';

export interface AgentOptions {
  /** "/var/lib/kubelet" */
  readonly kubeletDir: string;
  /** The host as it is now, for the checks in Allocate; its hwInfo is never asked. */
  readonly source: Pick<HostSource, 'readLink' | 'list' | 'exists'>;
  /** Is a device in use by someone else? undefined: not asked, as of a recording. */
  readonly isBusy?: BusyCheck | undefined;
  /** Everything there is to know of the host; costs a scan of sysfs. */
  readonly scan: (signal: AbortSignal) => Promise<HostReport>;
  readonly config: Feed<AgentConfig>;
  readonly mode: RegistrationMode;
  /** Where the configuration says nothing. */
  readonly iommufd: IommufdPolicy;
  readonly cdiDir: string;
  /** Between two scans without a hint, ms. */
  readonly rescanMs: number;
  /** What tells that devices came or went; none for a recording. */
  readonly hints: readonly HintSource[];
  /** What is handed out; shared with the DRA driver. */
  readonly claims: GroupClaims;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Hears of every scan, for the DRA driver. */
  readonly onScan?: (host: HostReport) => void;
  /** Hears what became of devices, for Kubernetes Events. */
  readonly onChanges?: (changes: readonly Change[]) => void;
}

const NO_INVENTORY: Inventory = { resources: new Map(), notAdvertised: [] };

/** Advertises a node's devices to its kubelet. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #directories: KubeletDirectories;
  readonly #watch: DirectoryWatch;
  readonly #bell: ChangeBell;
  readonly #plugins: ResourcePlugins;
  readonly #cdi: PciCdiSpec;
  readonly #pods: ClaimsOfPods;
  /** As the last scan found it; undefined: not looked at yet. */
  #host: HostReport | undefined;
  #inventory = NO_INVENTORY;
  #taking: Promise<void> = Promise.resolve();
  #publishing = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#directories = kubeletDirectories(options.kubeletDir);
    const { devicePlugins, pluginsRegistry } = this.#directories;
    this.#watch = new DirectoryWatch(options.mode === 'register' ? devicePlugins : pluginsRegistry);
    this.#bell = new ChangeBell(options);
    this.#cdi = new PciCdiSpec(options.cdiDir);
    const { podResourcesSocket } = this.#directories;
    this.#pods = new ClaimsOfPods({ ...options, podResourcesSocket });
    this.#plugins = new ResourcePlugins({
      mode: options.mode,
      source: options.source,
      isBusy: options.isBusy,
      claims: options.claims,
      settings: this.#settings(),
      directories: this.#directories,
      watch: this.#watch,
      log: options.log,
      metrics: options.metrics,
      onOutdated: () => this.#bell.ring(),
    });
    options.claims.onChange(() => this.#publishSoon());
  }

  get inventory(): Inventory {
    return this.#inventory;
  }

  get plugins(): ReadonlyMap<string, PluginStatus> {
    return this.#plugins.status;
  }

  /** Has the host been looked at? */
  get scanned(): boolean {
    return this.#host !== undefined;
  }

  /**
   * Would the configuration do for the devices as they are?
   *
   * @throws VsmmuError RESOURCE_NAMES_COLLIDE, which only names of templates can show here
   */
  refuse(config: AgentConfig): void {
    if (this.#host !== undefined) refuseCollisions(this.#host, config);
  }

  /** Runs until the signal aborts; a missing kubelet or an unreadable device is waited for, never given up on. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await Promise.all([
        this.#keepScanning(signal),
        this.#keepConfigured(signal),
        this.#pods.keepLearning(() => this.#host, signal),
      ]);
    } finally {
      await this.close();
    }
  }

  /** For an agent that is not run after all: what it listens to would keep the process alive. */
  async close(): Promise<void> {
    this.#bell.close();
    await this.#plugins.close();
    this.#watch.close();
  }

  #settings(): AllocationSettings {
    const { config, iommufd } = this.#options;
    const cdi = this.#cdi;
    return {
      get iommufd() {
        return config.value.iommufd ?? iommufd;
      },
      get cdi() {
        return config.value.cdi === true ? cdi : undefined;
      },
    };
  }

  async #keepScanning(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const seen = fingerprint(this.#options.source);
      await this.#rescan(signal);
      await this.#untilChange(seen, signal);
    }
  }

  /**
   * Until something may have changed. Without a hint that costs one look at the host from time to time, and a scan
   * only where it shows a change, or where a device did not answer and may now.
   */
  async #untilChange(seen: string, signal: AbortSignal): Promise<void> {
    while ((await this.#bell.next(signal)) === 'rescan') {
      if (this.#unanswered || fingerprint(this.#options.source) !== seen) return;
    }
  }

  /** Is there a device of which more may become known without anything to be seen in sysfs? */
  get #unanswered(): boolean {
    return (
      this.#host?.devices.some(
        ({ vfio, effectiveAts, effectivePasidBits }) =>
          vfio && !(effectiveAts.known && effectivePasidBits.known),
      ) ?? true
    );
  }

  /** A new configuration names devices anew: nothing of what the former one named is kept. */
  async #keepConfigured(signal: AbortSignal): Promise<void> {
    const { config } = this.#options;
    let current = config.value;
    for await (const next of config.watch(signal)) {
      if (next === current) continue;
      current = next;
      if (this.#host !== undefined) await this.#take(this.#host, 'anew');
    }
  }

  async #rescan(signal: AbortSignal): Promise<void> {
    const { scan, log, metrics, onScan } = this.#options;
    const start = performance.now();
    try {
      const host = await scan(signal);
      await this.#take(host, 'as before');
      onScan?.(host);
      metrics.add('vsmmu_scans_total', { outcome: 'ok' });
    } catch (error) {
      if (signal.aborted) return;
      metrics.add('vsmmu_scans_total', { outcome: 'failed' });
      log.error('The host could not be scanned.', { reason: messageOf(error) });
    }
    metrics.set('vsmmu_scan_seconds', {}, (performance.now() - start) / 1000);
  }

  /** One after the other: a scan and a new configuration may come together. */
  #take(host: HostReport, names: 'as before' | 'anew'): Promise<void> {
    const taken = this.#taking.then(() => this.#takeNow(host, names));
    this.#taking = taken.catch(() => undefined);
    return taken;
  }

  async #takeNow(host: HostReport, names: 'as before' | 'anew'): Promise<void> {
    const { config, claims, log, onChanges } = this.#options;
    const before = names === 'anew' ? NO_INVENTORY : this.#inventory;
    const naming = namingOf(config.value);
    const found = this.#checkLive(takeInventory({ host, naming, inForce: before.resources.keys() }));
    const inventory = withinListLimit(keepVanished(before, found));
    const changes = changesBetween(this.#inventory, inventory);
    claims.regroup(groupMembers(host));
    // What pods have of devices that are new to us must be known before they are advertised; of the others it is.
    if (changes.some(({ kind }) => kind === 'advertised')) await this.#pods.learn(host);
    this.#host = host;
    this.#inventory = inventory;
    logChanges(changes, log);
    if (changes.length > 0) onChanges?.(changes);
    this.#publish();
  }

  /** Tells the plugins what the last scan found, less what is taken through a group mate or a ResourceClaim. */
  #publish(): void {
    this.#plugins.keepOnly(this.#inventory.resources);
    for (const [resource, devices] of this.#inventory.resources) {
      this.#plugins.announce(
        resource,
        devices.map((device) => this.#asOfNow(device, resource)),
      );
    }
    if (this.#options.config.value.cdi === true) this.#describeForCdi();
  }

  /** After the answer to the Allocate that changed it, and once for all changes of this turn. */
  #publishSoon(): void {
    if (this.#publishing) return;
    this.#publishing = true;
    setImmediate(() => {
      this.#publishing = false;
      this.#publish();
    });
  }

  #asOfNow(device: PluginDevice, resource: string): PluginDevice {
    if (!device.health.healthy) return device;
    const obstacle = this.#options.claims.obstacle(device, `resource ${resource}`);
    return obstacle === undefined ? device : { ...device, health: unhealthy(obstacle) };
  }

  #checkLive(inventory: Inventory): Inventory {
    const checked = (devices: readonly PluginDevice[]) =>
      devices.map((device) => asItIsNow(this.#options.source, device));
    const resources = [...inventory.resources].map(([name, devices]) => [name, checked(devices)] as const);
    return { ...inventory, resources: new Map(resources) };
  }

  /** A container that is restarted is not allocated anew: its devices must be in the specification after our own restart too. */
  #describeForCdi(): void {
    const { source, iommufd, config, log } = this.#options;
    const nodes = new Map<Bdf, readonly string[]>();
    for (const device of [...this.#inventory.resources.values()].flat()) {
      const live = checkDevice(source, device);
      if (live.ok) nodes.set(device.bdf, nodePaths([live.nodes], config.value.iommufd ?? iommufd, source));
    }
    try {
      this.#cdi.put(nodes);
    } catch (error) {
      log.error('The CDI specification is out of date.', { reason: messageOf(error) });
    }
  }
}
