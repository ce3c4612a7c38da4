import { Backoff, type BackoffOptions } from '../../cluster/backoff.js';
import type { KubeClient } from '../../cluster/kube-client.js';
import { isKubeError } from '../../cluster/kube-error.js';
import type { Manifest, ResourceType } from '../../cluster/resource.js';
import { listAndWatch } from '../../cluster/watch.js';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log/log.js';
import type { Feed } from '../feed.js';
import type { Metrics } from '../metrics.js';
import { pause } from '../../host/pause.js';
import {
  cutIntoSlices,
  deviceKey,
  readSlice,
  RESOURCE_SLICE,
  sliceManifest,
  sliceName,
  type PublishedSlice,
  type SliceDevice,
} from './slices.js';
import { DRA_DRIVER } from '../../cluster/dra-resources.js';

const NODE: ResourceType = { group: '', version: 'v1', kind: 'Node', plural: 'nodes', namespaced: false };

export interface SlicePublisherOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  /** What the slices shall say. */
  readonly devices: Feed<readonly SliceDevice[]>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly backoff?: BackoffOptions;
}

const BACKOFF: BackoffOptions = { baseMs: 200, maxMs: 30_000 };
/** Changes that come together (a scan, a claim and its mate) become one write. */
const SETTLE_MS = 100;

/**
 * Keeps the node's ResourceSlices what they shall be, until the signal aborts: after a change, and when someone else
 * changed or removed them. A kubelet removes all of them at its start, and a driver's 30 s after it lost it.
 */
export class SlicePublisher {
  readonly #options: SlicePublisherOptions;
  readonly #wanted: { due: boolean; wake: () => void } = { due: true, wake: () => undefined };
  #fault: string | undefined = 'no ResourceSlice was written yet';
  #dropsTaints = false;
  /** By slice: what was written last, and what the API server made of it, where that is something else. */
  readonly #altered = new Map<string, { readonly sent: string; readonly kept: string }>();

  constructor(options: SlicePublisherOptions) {
    this.#options = options;
  }

  /** Why the API server does not show what it shall; undefined: it does. */
  get fault(): string | undefined {
    return this.#fault;
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#followDevices(signal), this.#followSlices(signal), this.#keepWriting(signal)]);
  }

  async #followDevices(signal: AbortSignal): Promise<void> {
    const changes = this.#options.devices.watch(signal)[Symbol.asyncIterator]();
    while ((await changes.next()).done !== true) this.#ask();
  }

  async #followSlices(signal: AbortSignal): Promise<void> {
    const { client, log } = this.#options;
    for await (const event of listAndWatch(client, RESOURCE_SLICE, {
      fieldSelector: this.#selector(),
      signal,
    })) {
      if (event.type === 'lost')
        log.debug('The watch of ResourceSlices broke.', { reason: event.error.message });
      else if (event.type === 'synced' || event.type === 'deleted' || event.type === 'changed') this.#ask();
    }
  }

  #selector(): string {
    return `spec.driver=${DRA_DRIVER},spec.nodeName=${this.#options.nodeName}`;
  }

  #ask(): void {
    this.#wanted.due = true;
    this.#wanted.wake();
  }

  async #keepWriting(signal: AbortSignal): Promise<void> {
    const { log, metrics } = this.#options;
    const backoff = new Backoff(this.#options.backoff ?? BACKOFF);
    while (!signal.aborted) {
      await this.#due(signal);
      await pause(SETTLE_MS, signal);
      this.#wanted.due = false;
      try {
        await this.#write(signal);
        this.#fault = undefined;
        backoff.reset();
      } catch (error) {
        const reason = messageOf(error);
        if (reason !== this.#fault) log.error('ResourceSlices could not be written.', { reason });
        this.#fault = reason;
        metrics.add('vsmmu_dra_slice_writes_total', { outcome: 'failed' });
        this.#wanted.due = true;
        await backoff.pause(signal);
      }
    }
  }

  #due(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.#wanted.due || signal.aborted) {
        resolve();
        return;
      }
      const wake = () => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#wanted.wake = wake;
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { client, nodeName, devices, metrics, log } = this.#options;
    const listed = await client.listAll(RESOURCE_SLICE, { fieldSelector: this.#selector() }, signal);
    const published = listed.map((object) => readSlice(object));
    const slices = cutIntoSlices(this.#expressible(devices.value));
    if (this.#isCurrent(published, slices)) return;
    // Asked each time: slices of a Node that was deleted and made anew go with the former one, again and again.
    const nodeUid = (await client.get(NODE, { name: nodeName }, signal)).metadata.uid ?? '';
    const generation = Math.max(0, ...published.map((slice) => slice.generation)) + 1;
    for (const [index, members] of slices.entries()) {
      const name = sliceName(nodeName, index);
      const former = published.find((slice) => slice.name === name);
      const manifest = sliceManifest(
        { nodeName, nodeUid },
        members,
        index,
        slices.length,
        generation,
        former?.resourceVersion,
      );
      await this.#put(manifest, members, signal);
    }
    const names = new Set(slices.map((_, index) => sliceName(nodeName, index)));
    for (const { name } of published) if (!names.has(name)) await this.#remove(name, signal);
    metrics.add('vsmmu_dra_slice_writes_total', { outcome: 'ok' });
    log.info('ResourceSlices were written.', {
      slices: slices.length,
      devices: devices.value.length,
      generation,
    });
  }

  async #put(manifest: Manifest, members: readonly SliceDevice[], signal: AbortSignal): Promise<void> {
    const { client, log } = this.#options;
    const stored = readSlice(
      manifest.metadata.resourceVersion === undefined
        ? await client.create(RESOURCE_SLICE, manifest, { signal })
        : await client.replace(RESOURCE_SLICE, manifest, { signal }),
    );
    const tainted = members.some(({ taints }) => taints !== undefined);
    if (tainted && !this.#dropsTaints && !JSON.stringify(stored.devices).includes('"taints"')) {
      // The gate DRADeviceTaints is off: without taints the scheduler would take an unusable device.
      log.warn('The API server drops device taints; unusable devices are left out of the ResourceSlices.');
      this.#dropsTaints = true;
      this.#ask();
      return;
    }
    const [sent, kept] = [deviceKey(members), deviceKey(stored.devices)];
    const { name } = manifest.metadata;
    if (sent === kept) {
      this.#altered.delete(name);
      return;
    }
    // Written again and again it would not become what was sent.
    if (this.#altered.size === 0)
      log.warn('The API server drops fields of ResourceSlices; it may be too old.');
    this.#altered.set(name, { sent, kept });
  }

  #expressible(devices: readonly SliceDevice[]): readonly SliceDevice[] {
    return this.#dropsTaints ? devices.filter(({ taints }) => taints === undefined) : devices;
  }

  async #remove(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.client.delete(RESOURCE_SLICE, { name }, { signal });
    } catch (error) {
      if (!isKubeError(error, 'KUBE_NOT_FOUND')) throw error;
    }
  }

  #isCurrent(published: readonly PublishedSlice[], slices: readonly (readonly SliceDevice[])[]): boolean {
    const { nodeName } = this.#options;
    const generations = new Set(published.map(({ generation }) => generation));
    return (
      published.length === slices.length &&
      generations.size <= 1 &&
      slices.every((members, index) => {
        const slice = published.find(({ name }) => name === sliceName(nodeName, index));
        if (slice?.count !== slices.length) return false;
        const [wanted, kept] = [deviceKey(members), deviceKey(slice.devices)];
        const altered = this.#altered.get(slice.name);
        return kept === wanted || (altered?.sent === wanted && altered.kept === kept);
      })
    );
  }
}
