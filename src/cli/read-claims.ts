import { type ClaimCaches, claimLookup } from '../admission/device-claims.js';
import {
  type AllocatedDevice,
  allocatedDevices,
  type ClaimRequest,
  claimRequests,
  selectsOurDevices,
  templateRequests,
} from '../cluster/claim-requests.js';
import { DEVICE_CLASSES, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS } from '../cluster/dra-resources.js';
import type { KubeClient } from '../cluster/kube-client.js';
import { isKubeError } from '../cluster/kube-error.js';
import type { KubeObject, ResourceType } from '../cluster/resource.js';
import { VsmmuError } from '../errors.js';
import { bdfOfDraDevice } from '../kubelet/dra/device.js';
import { asksByClaim, type ClaimedDevices, type GivenDevice } from '../kubevirt/claimed-devices.js';
import type { Vmi } from '../kubevirt/vmi.js';
import type { CliIo } from './io.js';
import { clusterClient } from './kubeconfig.js';
import { readObjects } from './offline-fleet.js';
import { type FleetOptions, isOffline } from './read-fleet.js';

/** Finds an object by name; undefined: nobody knows it. */
type Find = (type: ResourceType, name: string, namespace: string) => Promise<KubeObject | undefined>;

/**
 * Whose devices a VMI asks for by its claims, from the cluster or from the files that take its place.
 *
 * @returns undefined where it has no device by a claim
 */
export async function readClaims(
  vmi: Vmi,
  namespace: string,
  options: FleetOptions,
  io: CliIo,
): Promise<ClaimedDevices | undefined> {
  if (!asksByClaim(vmi)) return undefined;
  if (isOffline(options)) {
    const files = await Promise.all(options.objects.map((file) => readObjects(file, io)));
    return claimedBy(vmi, namespace, findAmong(files.flat()));
  }
  const client = await clusterClient(options, io);
  try {
    return await claimedBy(vmi, namespace, findIn(client));
  } finally {
    client.close();
  }
}

/** Objects of files mostly name no namespace: they then go with any VMI. */
function findAmong(objects: readonly KubeObject[]): Find {
  return (type, name, namespace) =>
    Promise.resolve(
      objects.find(
        ({ kind, metadata }) =>
          kind === type.kind &&
          metadata.name === name &&
          (!type.namespaced || (metadata.namespace ?? namespace) === namespace),
      ),
    );
}

function findIn(client: KubeClient): Find {
  return async (type, name, namespace) => {
    try {
      return await client.get(type, type.namespaced ? { name, namespace } : { name });
    } catch (error) {
      if (isKubeError(error, 'KUBE_NOT_FOUND')) return undefined;
      throw error;
    }
  };
}

/** Reads what the VMI names, and the classes that this names, and judges by them as the webhook does. */
async function claimedBy(vmi: Vmi, namespace: string, find: Find): Promise<ClaimedDevices> {
  const read = async <T>(type: ResourceType, names: Iterable<string>, parse: (object: KubeObject) => T) => {
    const byName = new Map<string, T>();
    for (const name of new Set(names)) {
      const object = await find(type, name, namespace);
      if (object !== undefined) byName.set(name, parsed(object, type, parse));
    }
    return byName;
  };
  const of = (kind: 'claim' | 'template') => vmi.resourceClaims.flatMap((reference) => reference[kind] ?? []);
  const found = await read(RESOURCE_CLAIMS, of('claim'), (object) => ({
    requests: claimRequests(object),
    allocated: allocatedDevices(object),
  }));
  const claims = new Map([...found].map(([name, claim]) => [name, claim.requests]));
  const templates = await read(RESOURCE_CLAIM_TEMPLATES, of('template'), templateRequests);
  const requests = [...claims.values(), ...templates.values()].flat();
  const classes = await read(DEVICE_CLASSES, classesOf(requests), selectsOurDevices);
  const caches: ClaimCaches = { claims, templates, classes };
  const given = givenTo(vmi, (name) => found.get(name)?.allocated);
  return { ...claimLookup(caches)(vmi, namespace), given };
}

/** @returns undefined where one of its devices has no claim that was given something, or is no device that we know */
function givenTo(
  vmi: Vmi,
  allocatedOf: (claim: string) => readonly AllocatedDevice[] | undefined,
): readonly GivenDevice[] | undefined {
  const given: GivenDevice[] = [];
  for (const { claimName, requestName } of vmi.devices) {
    if (claimName === undefined) continue;
    const [wanted] = requestName?.split('/', 1) ?? [];
    const { claim = '' } = vmi.resourceClaims.find(({ name }) => name === claimName) ?? {};
    const allocated = allocatedOf(claim);
    if (allocated === undefined) return undefined;
    for (const { request, pool, device } of allocated) {
      if (wanted !== undefined && request !== wanted) continue;
      const bdf = bdfOfDraDevice(device);
      if (bdf === undefined) return undefined;
      given.push({ node: pool, bdf });
    }
  }
  return given;
}

function classesOf(requests: readonly ClaimRequest[]): string[] {
  return requests.flatMap(({ classes }) => classes);
}

/** @throws VsmmuError UNREADABLE_FILE */
function parsed<T>(object: KubeObject, { kind, group }: ResourceType, parse: (object: KubeObject) => T): T {
  try {
    return parse(object);
  } catch (cause) {
    throw new VsmmuError('UNREADABLE_FILE', `it is no ${kind} of ${group}/v1`, {
      place: `${kind} ${object.metadata.name}`,
      remedy: 'Correct the object; kubectl apply --dry-run=server names the field.',
      cause,
    });
  }
}
