import { mkdirSync, readdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  DevicePlugin,
  Registration,
  type ContainerAllocateResponse,
  type Device,
  type RegisterRequest,
} from '../src/gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { PodResourcesLister } from '../src/gen/kubelet/podresources/v1/api_pb.js';
import { unixClient, type UnixClient } from '../src/grpc/client.js';
import { serveUnix, service, type UnixServer } from '../src/grpc/server.js';
import { RpcError } from '../src/grpc/status.js';

/** One registration as the kubelet keeps it: the endpoint it dialled and what the stream said last. */
export interface Endpoint {
  readonly request: RegisterRequest;
  readonly client: UnixClient<typeof DevicePlugin>;
  readonly stop: AbortController;
  devices: readonly Device[] | undefined;
  messages: number;
  ended: boolean;
}

/**
 * Plays the kubelet as v1.36 behaves: Register dials the endpoint and asks for its options before it answers; a
 * start removes every socket in the directory first; one endpoint a resource, the newer replacing the older.
 */
export class KubeletPeer {
  readonly root: string;
  readonly endpoints = new Map<string, Endpoint>();
  /** Every registration that was taken, in order. */
  readonly registered: string[] = [];
  /** Makes Register fail with this text. */
  refuse: string | undefined;
  /** namespace/name -> resource -> ids, as PodResources lists them. */
  readonly pods = new Map<string, Map<string, string[]>>();
  #server: UnixServer | undefined;
  #podResources: UnixServer | undefined;

  constructor(root: string) {
    this.root = root;
  }

  get pluginDir(): string {
    return join(this.root, 'device-plugins');
  }

  async start(): Promise<void> {
    mkdirSync(this.pluginDir, { recursive: true, mode: 0o750 });
    for (const entry of readdirSync(this.pluginDir, { withFileTypes: true })) {
      if (entry.isSocket()) unlinkSync(join(this.pluginDir, entry.name));
    }
    this.#server = await serveUnix(
      join(this.pluginDir, 'kubelet.sock'),
      [service(Registration, { register: (request) => this.#register(request) })],
      { graceMs: 0 },
    );
  }

  async servePodResources(): Promise<void> {
    mkdirSync(join(this.root, 'pod-resources'), { recursive: true });
    this.#podResources = await serveUnix(join(this.root, 'pod-resources/kubelet.sock'), [
      service(PodResourcesLister, {
        list: () => ({
          podResources: [...this.pods].map(([pod, resources]) => ({
            namespace: pod.split('/')[0]!,
            name: pod.split('/')[1]!,
            containers: [
              {
                name: 'compute',
                devices: [...resources].map(([resourceName, deviceIds]) => ({ resourceName, deviceIds })),
              },
            ],
          })),
        }),
        getAllocatableResources: () => ({}),
        get: () => ({}),
      }),
    ]);
  }

  /** The process dies: its connections break and its socket file stays. */
  async stop(): Promise<void> {
    for (const endpoint of this.endpoints.values()) this.#drop(endpoint);
    this.endpoints.clear();
    await this.#server?.close();
    this.#server = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#podResources?.close();
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Ends the device stream of a resource and nothing else, as a kubelet does that lost its plugin. */
  cutStream(resource: string): void {
    const endpoint = this.endpoints.get(resource);
    if (endpoint !== undefined) this.#drop(endpoint);
    this.endpoints.delete(resource);
  }

  /** id -> health, as capacity and allocatable would show it; undefined: no list yet. */
  health(resource: string): Record<string, string> | undefined {
    const devices = this.endpoints.get(resource)?.devices;
    return devices && Object.fromEntries(devices.map(({ ID, health }) => [ID, health]));
  }

  async allocate(resource: string, ...ids: string[]): Promise<ContainerAllocateResponse> {
    const { containerResponses } = await this.client(resource).call.allocate({
      containerRequests: [{ devicesIds: ids }],
    });
    return containerResponses[0]!;
  }

  client(resource: string): UnixClient<typeof DevicePlugin> {
    const endpoint = this.endpoints.get(resource);
    if (endpoint === undefined) throw new Error(`${resource} is not registered`);
    return endpoint.client;
  }

  async #register(request: RegisterRequest): Promise<object> {
    if (this.refuse !== undefined) throw new RpcError('UNKNOWN', this.refuse);
    const client = unixClient(DevicePlugin, join(this.pluginDir, request.endpoint));
    await client.call.getDevicePluginOptions({}, { timeoutMs: 10_000 });
    const endpoint: Endpoint = {
      request,
      client,
      stop: new AbortController(),
      devices: undefined,
      messages: 0,
      ended: false,
    };
    this.endpoints.set(request.resourceName, endpoint);
    this.registered.push(request.resourceName);
    void this.#watch(endpoint);
    return {};
  }

  async #watch(endpoint: Endpoint): Promise<void> {
    try {
      for await (const { devices } of endpoint.client.call.listAndWatch(
        {},
        { signal: endpoint.stop.signal },
      )) {
        endpoint.devices = devices;
        endpoint.messages++;
      }
    } catch {
      // The plugin went away; `ended` says so.
    }
    endpoint.ended = true;
    // kubelet <= 1.36: whatever is registered under the name by now is disconnected (kubernetes/kubernetes#135437).
    const current = this.endpoints.get(endpoint.request.resourceName);
    if (current !== undefined) {
      this.#drop(current);
      this.endpoints.delete(endpoint.request.resourceName);
    }
  }

  #drop(endpoint: Endpoint): void {
    endpoint.stop.abort();
    endpoint.client.close();
  }
}

/** Polls a condition for as long as a loaded machine may need. */
export async function until<T>(
  condition: () => T | undefined | false | null,
  patienceMs = 15_000,
): Promise<T> {
  const giveUp = performance.now() + patienceMs;
  while (performance.now() < giveUp) {
    const value = condition();
    if (value !== undefined && value !== false && value !== null) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`this never became true: ${condition.toString()}`);
}
