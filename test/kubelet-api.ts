import type { KubeObject } from '../src/cluster/resource.js';
import { listOf, sendEvents, sendJson, sendStatus, WireApiServer, type Answer } from './wire-api-server.js';
import type { ServerResponse } from 'node:http';

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const SLICES = '/apis/resource.k8s.io/v1/resourceslices';

export interface Slice extends KubeObject {
  readonly spec: {
    readonly driver: string;
    readonly nodeName: string;
    readonly pool: {
      readonly name: string;
      readonly generation: number;
      readonly resourceSliceCount: number;
    };
    readonly devices: {
      readonly name: string;
      readonly attributes: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
      readonly taints?: readonly { readonly key: string; readonly value: string; readonly effect: string }[];
    }[];
  };
}

/** The part of an API server that a DRA driver uses, over real HTTPS: it stores slices and tells their watchers. */
export class DraApiServer {
  readonly slices = new Map<string, Slice>();
  readonly claims = new Map<string, object>();
  readonly events: { readonly reason: string; readonly note: string }[] = [];
  /** Drops `taints`, as with the gate DRADeviceTaints off. */
  dropTaints = false;
  /** Drops this attribute of every device, as an API server that does not know it. */
  dropAttribute: string | undefined;
  nodeUid = 'node-uid';
  /** Answers every write of a slice with this status. */
  fail: number | undefined;
  writes = 0;
  readonly wire: WireApiServer;
  readonly #watchers = new Set<ServerResponse>();
  #version = 1;

  private constructor(wire: WireApiServer) {
    this.wire = wire;
    wire.answer((received, response) => this.#answer(received, response));
  }

  static async start(): Promise<DraApiServer> {
    return new DraApiServer(await WireApiServer.start());
  }

  get devices(): Slice['spec']['devices'] {
    return [...this.slices.values()].flatMap(({ spec }) => spec.devices);
  }

  allocate(
    name: string,
    uid: string,
    devices: readonly { request: string; device: string; pool?: string }[],
    annotations?: object,
  ) {
    this.claims.set(`/apis/resource.k8s.io/v1/namespaces/vms/resourceclaims/${name}`, {
      metadata: { name, namespace: 'vms', uid, annotations },
      status: {
        allocation: {
          devices: {
            results: devices.map(({ request, device, pool = 'node-1' }) => ({
              request,
              device,
              pool,
              driver: 'vsmmu.io',
            })),
          },
        },
      },
    });
  }

  /** As a kubelet does at its start. */
  wipeSlices(): void {
    for (const slice of this.slices.values()) this.#tell('DELETED', slice);
    this.slices.clear();
  }

  #answer(received: Parameters<Answer>[0], response: ServerResponse): void {
    const { method, path, query, body } = received;
    if (path === '/api/v1/nodes/node-1') {
      sendJson(response, 200, { metadata: { name: 'node-1', uid: this.nodeUid } });
    } else if (path.startsWith(SLICES)) {
      if (method === 'GET') this.#read(query, response);
      else this.#write(received, response);
    } else if (path === EVENTS) {
      this.events.push(JSON.parse(body) as { reason: string; note: string });
      sendJson(response, 201, { metadata: { name: 'event' } });
    } else if (this.claims.has(path)) {
      sendJson(response, 200, this.claims.get(path));
    } else {
      sendStatus(response, 404, 'NotFound', `${path} is not there`);
    }
  }

  #read(query: URLSearchParams, response: ServerResponse): void {
    if (query.get('fieldSelector') !== 'spec.driver=vsmmu.io,spec.nodeName=node-1') {
      sendStatus(response, 403, 'Forbidden', 'a node reads its own slices only');
    } else if (query.get('watch') === 'true') {
      this.#watchers.add(response);
      sendEvents(response);
    } else {
      sendJson(response, 200, listOf([...this.slices.values()], String(this.#version)));
    }
  }

  #write({ method, path, body }: Parameters<Answer>[0], response: ServerResponse): void {
    this.writes++;
    if (this.fail !== undefined) {
      sendStatus(response, this.fail, 'InternalError', 'etcd is down');
      return;
    }
    const name = path.slice(SLICES.length + 1);
    const former = this.slices.get(name);
    if (method === 'DELETE') {
      this.slices.delete(name);
      if (former !== undefined) this.#tell('DELETED', former);
      sendJson(response, 200, { kind: 'Status', status: 'Success' });
      return;
    }
    const sent = JSON.parse(body) as Slice;
    if (method === 'PUT' && former?.metadata.resourceVersion !== sent.metadata.resourceVersion) {
      sendStatus(response, 409, 'Conflict', 'it was changed');
      return;
    }
    const stored = this.#store(sent);
    this.#tell(former === undefined ? 'ADDED' : 'MODIFIED', stored);
    sendJson(response, method === 'POST' ? 201 : 200, stored);
  }

  #store(sent: Slice): Slice {
    const devices = sent.spec.devices.map(({ taints, attributes, ...device }) => {
      const kept = Object.entries(attributes).filter(([name]) => name !== this.dropAttribute);
      const stored = { ...device, attributes: Object.fromEntries(kept) };
      return taints === undefined || this.dropTaints
        ? stored
        : { ...stored, taints: taints.map((taint) => ({ ...taint, timeAdded: '2026-01-01T00:00:00Z' })) };
    });
    const metadata = { ...sent.metadata, resourceVersion: String(++this.#version) };
    const stored: Slice = { ...sent, metadata, spec: { ...sent.spec, devices } };
    this.slices.set(metadata.name, stored);
    return stored;
  }

  #tell(type: string, object: Slice): void {
    for (const watcher of this.#watchers) sendEvents(watcher, { type, object });
  }
}
