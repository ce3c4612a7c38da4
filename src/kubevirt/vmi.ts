import { VsmmuError } from '../errors.js';
import * as z from '../lean-schema.js';
import { type Affinity, affinitySchema } from './node-affinity.js';

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

/** Go writes an absent field as null, "" or not at all; here they are one. */
const text = z.pipe(
  z.nullish(z.string()),
  z.transform((value) => value || undefined),
);
const stringMap = z.pipe(
  z.nullish(z.record(z.string(), z.string())),
  z.transform((value) => value ?? undefined),
);

const LIST_MAX = 4096;
const requests = z.pipe(
  z.nullish(
    z
      .array(z.object({ name: text, deviceName: text, claimName: text, requestName: text }))
      .check(z.maxLength(LIST_MAX)),
  ),
  z.transform((value) => value ?? []),
);
const vmiSchema = z.object({
  metadata: z.object({ name: text, generateName: text, namespace: text, annotations: stringMap }),
  spec: z.nullish(
    z.object({
      domain: z.nullish(
        z.object({ devices: z.nullish(z.object({ gpus: requests, hostDevices: requests })) }),
      ),
      nodeSelector: stringMap,
      affinity: affinitySchema,
      resourceClaims: z.nullish(
        z
          .array(z.object({ name: text, resourceClaimName: text, resourceClaimTemplateName: text }))
          .check(z.maxLength(LIST_MAX)),
      ),
    }),
  ),
  status: z.nullish(z.object({ nodeName: text, phase: text })),
});
type VmiJson = z.output<typeof vmiSchema>;

/**
 * Takes what vsmmu needs out of a VMI, from the API server or from virt-launcher. All of it is somebody else's
 * text: nothing but node name and annotations is used beyond messages.
 *
 * @throws VsmmuError VMI_MALFORMED
 */
export function parseVmi(json: unknown): Vmi {
  const parsed = vmiSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw malformed(issue?.path.map(String).join('.').slice(0, 200) ?? '', issue?.message ?? 'malformed');
  }
  const { metadata, spec, status } = parsed.data;
  return {
    name: metadata.name ?? metadata.generateName ?? '',
    namespace: metadata.namespace ?? '',
    annotations: metadata.annotations,
    hasSpec: spec != null,
    devices: deviceRequests(spec),
    resourceClaims: resourceClaims(spec),
    nodeSelector: spec?.nodeSelector,
    affinity: spec?.affinity,
    nodeName: status?.nodeName,
    phase: status?.phase,
  };
}

/** @param bytes JSON as virt-launcher hands it to a hook */
export function parseVmiBytes(bytes: Uint8Array): Vmi {
  if (bytes.byteLength > VMI_BYTES_MAX) throw malformed('', `larger than ${VMI_BYTES_MAX} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed('', 'not JSON in UTF-8', error);
  }
  return parseVmi(json);
}

function deviceRequests(spec: VmiJson['spec']): DeviceRequest[] {
  const devices = spec?.domain?.devices;
  return (['gpus', 'hostDevices'] as const).flatMap((list) =>
    (devices?.[list] ?? []).map(({ name = '', deviceName, claimName, requestName }, index) => ({
      list,
      index,
      name,
      deviceName,
      claimName,
      requestName,
    })),
  );
}

function resourceClaims(spec: VmiJson['spec']): ResourceClaimReference[] {
  return (spec?.resourceClaims ?? []).map((claim) => ({
    name: claim.name ?? '',
    claim: claim.resourceClaimName,
    template: claim.resourceClaimTemplateName,
  }));
}

function malformed(place: string, message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('VMI_MALFORMED', message, {
    place: place === '' ? 'VirtualMachineInstance' : place,
    remedy: 'Send a kubevirt.io/v1 VirtualMachineInstance as JSON.',
    cause,
  });
}
