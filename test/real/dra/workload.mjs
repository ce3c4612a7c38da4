import { eventually } from '../kubernetes/eventually.mjs';

const NAMESPACE = 'vms';
const RESOURCES = '/apis/resource.k8s.io/v1';
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
export const CLAIMS = `${RESOURCES}/namespaces/${NAMESPACE}/resourceclaims`;
export const SLICES = `${RESOURCES}/resourceslices`;

/** Pods with ResourceClaims, as KubeVirt makes them for VMs with DRA devices. */
export class Workload {
  #admin;

  static async prepare({ admin }) {
    await admin.create('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
    await admin.create(`/api/v1/namespaces/${NAMESPACE}/serviceaccounts`, { metadata: { name: 'default' } });
    await admin.create(`${RESOURCES}/deviceclasses`, {
      metadata: { name: 'vsmmu.io' },
      spec: { selectors: [{ cel: { expression: 'device.driver == "vsmmu.io"' } }] },
    });
    return new Workload(admin);
  }

  constructor(admin) {
    this.#admin = admin;
  }

  /** Devices of the node as the API server has them. */
  async published() {
    const { items } = await this.#admin.get(SLICES);
    return items.filter(({ spec }) => spec.driver === 'vsmmu.io').flatMap(({ spec }) => spec.devices ?? []);
  }

  /**
   * A pod with a claim for such devices.
   * @param {{ count?: number, cel?: readonly string[], sameAttribute?: string, template?: boolean }} wanted
   *   template: the claim says of itself what one that Kubernetes made from a template says
   */
  async create(name, { count = 1, cel = [], sameAttribute, template = false } = {}) {
    const selectors = cel.map((expression) => ({ cel: { expression } }));
    const exactly = { deviceClassName: 'vsmmu.io', count, ...(selectors.length > 0 ? { selectors } : {}) };
    const constraints =
      sameAttribute === undefined ? {} : { constraints: [{ matchAttribute: sameAttribute }] };
    const annotations = { 'resource.kubernetes.io/pod-claim-name': 'devices' };
    await this.#admin.create(CLAIMS, {
      metadata: { name, ...(template ? { annotations } : {}) },
      spec: { devices: { requests: [{ name: 'gpu', exactly }], ...constraints } },
    });
    await this.#admin.create(PODS, {
      metadata: { name },
      spec: {
        containers: [{ name: 'main', image: 'none', resources: { claims: [{ name: 'devices' }] } }],
        resourceClaims: [{ name: 'devices', resourceClaimName: name }],
      },
    });
  }

  /** Waits for the scheduler. @returns {Promise<{ pod: any, devices: string[] }>} the devices it chose */
  async scheduled(name) {
    const pod = await eventually(`pod ${name} is scheduled`, async () => {
      const found = await this.#admin.get(`${PODS}/${name}`);
      if (found.spec.nodeName) return found;
      throw new Error(JSON.stringify(found.status));
    });
    const claim = await this.#admin.get(`${CLAIMS}/${name}`);
    return { pod, devices: claim.status.allocation.devices.results.map(({ device }) => device).sort() };
  }

  /** Waits until the scheduler said no. @returns {Promise<string>} its words */
  refused(name) {
    return eventually(`the scheduler refuses pod ${name}`, async () => {
      const { status } = await this.#admin.get(`${PODS}/${name}`);
      return status.conditions?.find(({ reason }) => reason === 'Unschedulable')?.message;
    });
  }

  /** Ends whatever is left. */
  async clear() {
    const { items } = await this.#admin.get(CLAIMS);
    for (const { metadata } of items) await this.remove(metadata.name);
  }

  /** The pod is over: what its controllers would do then. */
  async remove(name) {
    await this.#admin.exchange('DELETE', `${PODS}/${name}?gracePeriodSeconds=0`);
    await this.#admin.patch(`${CLAIMS}/${name}/status`, 'merge', {
      status: { reservedFor: null, allocation: null },
    });
    await this.#admin.exchange('DELETE', `${CLAIMS}/${name}`);
  }
}
