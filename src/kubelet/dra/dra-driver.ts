import { join } from 'node:path';
import type { KubeClient } from '../../cluster/kube-client.js';
import type { HostReport } from '../../host/report.js';
import type { HostSource } from '../../host/host-source.js';
import type { Log } from '../../log/log.js';
import { Checkpoint } from '../checkpoint.js';
import { Feed } from '../feed.js';
import type { BusyCheck } from '../group-busy.js';
import type { GroupClaims } from '../group-claims.js';
import type { Metrics } from '../metrics.js';
import { asItIsNow } from '../device-nodes.js';
import { HEALTHY, unhealthy, type PluginDevice } from '../plugin-device.js';
import { kubeletDirectories } from '../registration.js';
import type { NodeDriver, SharedWithDriver } from '../start-agent.js';
import { draDevices, type DraDevice } from './device.js';
import { draServices, type DeviceHealth } from './dra-services.js';
import { keepDraSockets } from './dra-sockets.js';
import { Preparer } from './prepare.js';
import { preparedFromJson, type PreparedClaims } from './prepared-claims.js';
import { restorePrepared } from './restore-prepared.js';
import { SlicePublisher } from './slice-publisher.js';
import { deviceKey, sliceDevices, type SliceDevice, type Unusable } from './slices.js';

export interface DraDriverOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly kubeletDir: string;
  readonly stateDir: string;
  readonly cdiDir: string;
  readonly source: Pick<HostSource, 'readLink' | 'list' | 'exists'>;
  readonly isBusy?: BusyCheck | undefined;
  readonly log: Log;
}

/** The DRA side of the agent: ResourceSlices for the scheduler, prepared claims for the kubelet. */
export class DraDriver implements NodeDriver {
  readonly #options: DraDriverOptions;
  readonly #health = new Feed<readonly DeviceHealth[]>([], JSON.stringify);
  /** undefined until the first scan: an empty pool would be a lie. */
  #slices: Feed<readonly SliceDevice[]> | undefined;
  #devices: ReadonlyMap<string, DraDevice> = new Map();
  #claims: GroupClaims | undefined;
  #publisher: SlicePublisher | undefined;
  #registered = false;
  #scanned: () => void = () => undefined;
  readonly #firstScan = new Promise<void>((resolve) => {
    this.#scanned = resolve;
  });

  constructor(options: DraDriverOptions) {
    this.#options = options;
  }

  readonly onScan = (host: HostReport): void => {
    const { source } = this.#options;
    const now = new Map(
      draDevices(host).map((dra) => [dra.name, { ...dra, device: asItIsNow(source, dra.device) }]),
    );
    // A claim may still hold a device that is gone; the scheduler shall not see it any more, the kubelet shall.
    for (const [name, { device, attributes }] of this.#devices) {
      if (now.has(name)) continue;
      now.set(name, { name, attributes, device: asGone(source, device) });
    }
    this.#devices = now;
    this.#update();
    this.#scanned();
  };

  unready(): string | undefined {
    if (!this.#registered) return 'the kubelet did not take the DRA driver yet';
    return this.#publisher?.fault;
  }

  async start({
    claims,
    metrics,
    iommufd,
  }: SharedWithDriver): Promise<(signal: AbortSignal) => Promise<void>> {
    const { nodeName, cdiDir, stateDir, source, isBusy, log } = this.#options;
    const checkpoint = new Checkpoint<PreparedClaims>(
      join(stateDir, 'prepared-claims.json'),
      preparedFromJson,
    );
    const devices = () => this.#devices;
    const preparer = new Preparer(
      { nodeName, cdiDir, stateDir, source, isBusy, iommufd, claims, checkpoint, devices },
      await restorePrepared(checkpoint, cdiDir, nodeName, log),
    );
    this.#claims = claims;
    claims.onChange(() => {
      metrics.set('vsmmu_dra_prepared_claims', {}, preparer.prepared.size);
      this.#update();
    });
    return (signal) => this.#run(preparer, metrics, signal);
  }

  async #run(preparer: Preparer, metrics: Metrics, signal: AbortSignal): Promise<void> {
    const { client, nodeName, kubeletDir, log } = this.#options;
    const stopped = new Promise<void>((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    );
    await Promise.race([this.#firstScan, stopped]);
    if (signal.aborted || this.#slices === undefined) return;
    const services = draServices({ client, nodeName, preparer, health: this.#health, metrics, log });
    const publisher = new SlicePublisher({ client, nodeName, devices: this.#slices, metrics, log });
    this.#publisher = publisher;
    const directories = kubeletDirectories(kubeletDir);
    const onRegistered = (registered: boolean) => {
      this.#registered = registered;
    };
    await Promise.all([
      publisher.run(signal),
      keepDraSockets({ directories, services, log, onRegistered }, signal),
    ]);
  }

  #update(): void {
    const devices = [...this.#devices.values()];
    const slices = sliceDevices(devices, (device) => this.#unusable(device));
    if (this.#slices === undefined) this.#slices = new Feed<readonly SliceDevice[]>(slices, deviceKey);
    else this.#slices.set(slices);
    this.#health.set(devices.map(({ name, device }) => ({ name, health: device.health })));
  }

  /** A device that a claim has is the scheduler's own knowledge; only what it can't know becomes a taint. */
  #unusable({ device }: DraDevice): Unusable | undefined {
    if (!device.health.healthy) return 'unhealthy';
    const claim = this.#claims?.of(device.iommuGroup);
    if (claim === undefined) return undefined;
    const mateOnly = !claim.devices.has(device.bdf);
    return claim.holder.startsWith('resource ') || mateOnly ? 'in-use' : undefined;
  }
}

/** What became of a device that no VFIO driver has any more. */
function asGone(source: DraDriverOptions['source'], device: PluginDevice): PluginDevice {
  const live = asItIsNow(source, { ...device, health: HEALTHY });
  return live.health.healthy ? { ...device, health: unhealthy('it is not to be handed out any more') } : live;
}
