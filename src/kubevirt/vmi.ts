import { firstIssue } from '../schema-issue.js';
import { type Affinity, affinitySchema } from './node-affinity.js';
import { type Fields, listIn, malformedVmi, objectIn, objectOf, textIn, textMapIn } from './vmi-fields.js';

/** An entry of `spec.domain.devices.gpus` or `.hostDevices`; by resource name, or by DRA claim. */
export interface DeviceRequest {
  readonly list: 'gpus' | 'hostDevices';
  readonly index: number;
  readonly name: string;
  readonly deviceName: string | undefined;
  readonly claimName: string | undefined;
  /** Of the claim; undefined: any of its requests. */
  readonly requestName: string | undefined;
}

/** The fields of a VirtualMachineInstance that vsmmu reads (KubeVirt API v1, staging/src/kubevirt.io/api/core/v1). */
export interface Vmi {
  readonly name: string;
  readonly namespace: string;
  /** undefined: the object has no such map at all, which a JSON patch must know. */
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** A VMI without one is refused by its schema, but only after admission has seen it. */
  readonly hasSpec: boolean;
  readonly devices: readonly DeviceRequest[];
  readonly resourceClaims: readonly ResourceClaimReference[];
  readonly nodeSelector: Readonly<Record<string, string>> | undefined;
  readonly affinity: Affinity;
  readonly nodeName: string | undefined;
  /** "Scheduling", "Scheduled", "Running", ... */
  readonly phase: string | undefined;
}

export interface ResourceClaimReference {
  readonly name: string;
  readonly claim: string | undefined;
  readonly template: string | undefined;
}

/** KubeVirt's own limit is Kubernetes': 1.5 MiB an object in etcd; more than this is no VMI. */
const VMI_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Takes what vsmmu needs out of a VMI, from the API server or from virt-launcher. All of it is somebody else's
 * text: nothing but node name and annotations is used beyond messages.
 *
 * @throws VsmmuError VMI_MALFORMED
 */
export function parseVmi(json: unknown): Vmi {
  const vmi = objectOf(json, '');
  const metadata = objectOf(vmi['metadata'], 'metadata');
  const spec = objectIn(vmi, 'spec', '');
  const devices = objectIn(objectIn(spec, 'domain', 'spec.'), 'devices', 'spec.domain.');
  const status = objectIn(vmi, 'status', '');
  return {
    name: textIn(metadata, 'name', 'metadata.') ?? textIn(metadata, 'generateName', 'metadata.') ?? '',
    namespace: textIn(metadata, 'namespace', 'metadata.') ?? '',
    annotations: textMapIn(metadata, 'annotations', 'metadata.'),
    hasSpec: spec !== undefined,
    devices: [...deviceRequests(devices, 'gpus'), ...deviceRequests(devices, 'hostDevices')],
    resourceClaims: listIn(spec, 'resourceClaims', 'spec.', (claim, _, place) => ({
      name: textIn(claim, 'name', place) ?? '',
      claim: textIn(claim, 'resourceClaimName', place),
      template: textIn(claim, 'resourceClaimTemplateName', place),
    })),
    nodeSelector: textMapIn(spec, 'nodeSelector', 'spec.'),
    affinity: affinityOf(spec?.['affinity']),
    nodeName: textIn(status, 'nodeName', 'status.'),
    phase: textIn(status, 'phase', 'status.'),
  };
}

/** @param bytes JSON as virt-launcher hands it to a hook */
export function parseVmiBytes(bytes: Uint8Array): Vmi {
  if (bytes.byteLength > VMI_BYTES_MAX) throw malformedVmi('', `larger than ${VMI_BYTES_MAX} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformedVmi('', 'not JSON in UTF-8', error);
  }
  return parseVmi(json);
}

function deviceRequests(devices: Fields | undefined, list: DeviceRequest['list']): DeviceRequest[] {
  return listIn(devices, list, 'spec.domain.devices.', (device, index, place) => ({
    list,
    index,
    name: textIn(device, 'name', place) ?? '',
    deviceName: textIn(device, 'deviceName', place),
    claimName: textIn(device, 'claimName', place),
    requestName: textIn(device, 'requestName', place),
  }));
}

/** Few VMIs have one, so its depths are left to a schema. */
function affinityOf(json: unknown): Affinity {
  if (json == null) return undefined;
  const parsed = affinitySchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = firstIssue(parsed.error);
  throw malformedVmi(path === '' ? 'spec.affinity' : `spec.affinity.${path}`, message);
}
