import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { createConnection } from 'node:net';
import { TLSSocket } from 'node:tls';

import { Callbacks } from '../../src/gen/kubevirt/hooks/v1alpha3/api_pb.js';
import { unixClient } from '../../src/grpc/client.js';
import type { HostTree, FunctionOfHost } from '../kubelet-host.js';
import type { KubeletPeer } from '../kubelet-peer.js';
import type { ApiStore } from './api-store.js';

/** What was done and what came of it. */
export class Tally {
  readonly counts: Record<string, number> = {};
  readonly failures: string[] = [];

  add(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  fail(what: string): void {
    this.add('failures');
    if (this.failures.length < 20) this.failures.push(what);
  }
}

/** One turn, then a pause in milliseconds; turns go on until the signal. */
export async function repeat(
  signal: AbortSignal,
  pauseMs: () => number,
  turn: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    await turn();
    await pause(pauseMs(), signal);
  }
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted === true) end();
  });
}

/** Waits for what has to come back after a disturbance; a loaded machine gets its time. */
async function comesBack(tally: Tally, what: string, condition: () => boolean): Promise<void> {
  const giveUp = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > giveUp) {
      tally.fail(`${what} did not come back within 60 s`);
      return;
    }
    await pause(20);
  }
  tally.add(what);
}

export const SLICES = '/apis/resource.k8s.io/v1/resourceslices';
const DEVICE_CHANGES = ['unplugged', 'bound to a host driver', 'lost its node'] as const;

/** Devices appear, vanish and are rebound; after each change the kubelet must see the host as it is. */
export async function churnDevices(
  tree: HostTree,
  devices: readonly FunctionOfHost[],
  tally: Tally,
): Promise<void> {
  const device = devices[Math.floor(Math.random() * devices.length)];
  if (device === undefined) return;
  const kind = Math.floor(Math.random() * DEVICE_CHANGES.length);
  if (kind === 0) tree.unplug(device.bdf);
  else if (kind === 1) tree.plug({ ...device, driver: 'nvme' });
  else tree.remove(`/dev/vfio/devices/${tree.vfioName(device.bdf)}`);
  tally.add(DEVICE_CHANGES[kind] ?? '');
  await pause(1500 + Math.random() * 2000);
  tree.plug(device);
}

/** All devices at the kubelet, healthy, as the host has them. */
export function allThere(kubelet: KubeletPeer, resource: string, count: number): boolean {
  const health = kubelet.health(resource);
  return (
    health !== undefined && Object.values(health).filter((state) => state === 'Healthy').length === count
  );
}

/** A kubelet that restarts, one whose stream ends, one that wipes the slices: each has the devices again. */
export async function churnKubelet(
  kubelet: KubeletPeer,
  store: ApiStore,
  { resource, count }: { readonly resource: string; readonly count: number },
  tally: Tally,
): Promise<void> {
  const restart = Math.random() < 0.5;
  if (restart) {
    await kubelet.stop();
    await pause(200 + Math.random() * 800);
    await kubelet.start();
    store.wipe(SLICES);
  } else {
    kubelet.cutStream(resource);
  }
  await comesBack(tally, restart ? 'kubelet restarts' : 'streams cut', () =>
    allThere(kubelet, resource, count),
  );
}

export async function allocate(
  kubelet: KubeletPeer,
  resource: string,
  devices: readonly FunctionOfHost[],
  tally: Tally,
): Promise<void> {
  const device = devices[Math.floor(Math.random() * devices.length)];
  if (device === undefined || !kubelet.endpoints.has(resource)) return;
  try {
    await kubelet.allocate(resource, device.bdf);
    tally.add('allocations');
  } catch {
    tally.add('allocations refused'); // a device that is gone at the moment, or a kubelet that restarts
  }
}

/** Reviews over kept connections, as the API server makes them, trusting what the configuration says at the moment. */
export class Reviewer {
  readonly #origin: () => URL;
  readonly #bundle: () => string | undefined;
  readonly #tally: Tally;
  readonly #serials = new Set<string>();
  #trusted: string | undefined;
  #agent = new Agent();
  #retired: Agent | undefined;

  constructor(origin: () => URL, bundle: () => string | undefined, tally: Tally) {
    this.#origin = origin;
    this.#bundle = bundle;
    this.#tally = tally;
  }

  async review(path: string, body: string): Promise<void> {
    const ca = this.#bundle();
    if (ca === undefined) return;
    if (ca !== this.#trusted) {
      // The one before it may have a review under way, which destroying would break off.
      this.#retired?.destroy();
      this.#retired = this.#agent;
      this.#agent = new Agent({ keepAlive: true, maxSockets: 4, ca });
      this.#trusted = ca;
      this.#tally.add('bundles taken up');
    }
    const begun = performance.now();
    try {
      const status = await this.#post(path, body);
      if (status === 200) this.#tally.add('reviews');
      else this.#tally.fail(`${path} was answered ${status}`);
    } catch (error) {
      this.#tally.fail(`${path}: ${String(error)} after ${Math.round(performance.now() - begun)} ms`);
    }
  }

  /** A body that is none, or that breaks off in the middle. */
  async disturb(): Promise<void> {
    if (this.#trusted === undefined) return;
    const { hostname, port } = this.#origin();
    const call = request({
      hostname,
      port,
      path: '/mutate',
      method: 'POST',
      ca: this.#trusted,
      agent: false,
    });
    call
      .on('error', () => undefined)
      .on('response', (response: IncomingMessage) => {
        this.#noteCertificate(response);
        response.resume();
      });
    if (Math.random() < 0.5) call.end('{');
    else {
      call.setHeader('content-length', '100000');
      call.write('{"kind":');
      await pause(50);
      call.destroy();
    }
    this.#tally.add('broken reviews');
    // Not once(): it takes an error, which is what is wanted here, for one of its own.
    await Promise.race([new Promise((resolve) => call.once('close', resolve)), pause(15_000)]);
  }

  close(): void {
    this.#retired?.destroy();
    this.#agent.destroy();
  }

  /** Counts the serving certificates that new connections met. */
  #noteCertificate({ socket }: IncomingMessage): void {
    if (!(socket instanceof TLSSocket)) return;
    const serial = socket.getPeerCertificate().serialNumber;
    if (this.#serials.has(serial)) return;
    this.#serials.add(serial);
    this.#tally.add('serving certificates met');
  }

  async #post(path: string, body: string): Promise<number> {
    const { hostname, port } = this.#origin();
    const call = request({
      ...{ hostname, port, path: `${path}?timeout=10s`, method: 'POST', agent: this.#agent },
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    });
    call.end(body);
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    return response.statusCode ?? 0;
  }
}

/** virt-launcher's calls, and peers that go away or say nothing. */
export async function callHook(
  socket: string,
  { domain, vmi }: { readonly domain: Uint8Array; readonly vmi: Uint8Array },
  tally: Tally,
): Promise<void> {
  if (Math.random() < 0.1) {
    const silent = createConnection(socket);
    silent.on('error', () => undefined);
    await pause(100);
    silent.destroy();
    tally.add('silent peers of the hook');
    return;
  }
  const client = unixClient(Callbacks, socket);
  try {
    const { domainXML } = await client.call.onDefineDomain({ domainXML: domain, vmi }, { timeoutMs: 30_000 });
    if (Buffer.from(domainXML).includes('accel=')) tally.add('domains defined');
    else tally.fail('a domain came back without its vSMMU');
  } catch (error) {
    tally.fail(`OnDefineDomain: ${String(error)}`);
  } finally {
    client.close();
  }
}

/** As Prometheus and the kubelet's probes come by. */
export async function scrape(port: number, tally: Tally): Promise<void> {
  for (const path of ['/metrics', '/healthz', '/readyz', '/status']) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(30_000) });
      await answer.text();
      // A program that waits for a kubelet or an API server says so by 503; its metrics it always has.
      if (path === '/metrics' && !answer.ok) tally.fail(`${path} was answered ${answer.status}`);
      tally.add(answer.ok ? 'scrapes and probes' : 'probes that were told to wait');
    } catch (error) {
      tally.fail(`${path}: ${String(error)}`);
    }
  }
}
