import { type Bdf, parseBdf } from '../bdf.js';
import { messageOf, VsmmuError } from '../errors.js';
import { featuresOf } from '../kubevirt/read-resolved.js';
import type { AnnotationVersion, ResolvedAnnotation } from '../kubevirt/resolved-annotation.js';
import { firstIssue } from '../schema-issue.js';
import type { DeviceFeatures, HostFeatures } from '../smmu/features.js';
import {
  nodeProfileSpec,
  nodeProfileStatus,
  type NodeProfileSpec,
  type ProfileDevice,
  type ProfileSmmu,
} from './node-profile-schema.js';
import type { KubeObject, ResourceType } from './resource.js';

export const NODE_PROFILES: ResourceType = {
  group: 'vsmmu.io',
  version: 'v1alpha1',
  kind: 'NodeProfile',
  plural: 'nodeprofiles',
  namespaced: false,
};

/** A NodeProfile as the webhook keeps it: everything a review needs is made once, when the object comes in. */
export interface NodeProfile {
  readonly node: string;
  readonly uid: string | undefined;
  /** Value of vsmmu.io/resolved for VMs on this node. */
  readonly annotation: string;
  /** The same in version 2, which few VMs need: so it is made when it is asked for. */
  readonly annotationWithModels: () => string;
  readonly features: HostFeatures;
  readonly devices: ReadonlyMap<Bdf, KeptDevice>;
  /** Milliseconds since the epoch by the agent's clock; undefined where it never said. */
  readonly renewedAt: number | undefined;
}

/** What is kept of a device: a fleet has tens of thousands, and only people read the rest, who ask the API server. */
export type KeptDevice = Omit<ProfileDevice, 'driver' | 'iommuGroup'>;

/** The part of a spec that annotations are made of. */
interface AnnotatedSpec {
  readonly node: string;
  readonly smmus: readonly ProfileSmmu[];
  readonly devices: readonly KeptDevice[];
}

/** @throws VsmmuError PROFILE_MALFORMED */
export function parseNodeProfile(object: KubeObject): NodeProfile {
  const { name, uid } = object.metadata;
  const spec = nodeProfileSpec.safeParse(object['spec']);
  if (!spec.success) {
    const { path, message } = firstIssue(spec.error);
    throw malformed(name, `spec.${path}: ${message}`);
  }
  if (spec.data.node !== name) throw malformed(name, `spec.node is ${spec.data.node}`);
  const status = nodeProfileStatus.safeParse(object['status'] ?? {});
  const renewedAt = Date.parse((status.success ? status.data.renewedAt : undefined) ?? '');
  const kept = keptOf(spec.data);
  const annotation = annotationOfProfile(kept);
  try {
    const devices = byAddress(kept.devices);
    return {
      node: name,
      uid,
      annotation: JSON.stringify(annotation),
      annotationWithModels: () => JSON.stringify(annotationOfProfile(kept, 2)),
      features: withModels(featuresOf(annotation), devices),
      devices,
      renewedAt: Number.isNaN(renewedAt) ? undefined : renewedAt,
    };
  } catch (error) {
    throw malformed(name, messageOf(error), error);
  }
}

/** @returns one text for all its likes: JSON, and putting texts together, bring each device its own */
function sharedTexts(): (text: string) => string {
  const texts = new Map<string, string>();
  return (text) => {
    const known = texts.get(text);
    if (known === undefined) texts.set(text, text);
    return known ?? text;
  };
}

/** Evidence is left out, and equal texts are one. */
function keptOf({ node, smmus, devices }: NodeProfileSpec): AnnotatedSpec {
  const one = sharedTexts();
  return {
    node,
    smmus: smmus.map(({ name, accel, limits, obstacles }) => ({ name: one(name), accel, limits, obstacles })),
    devices: devices.map(
      ({
        bdf,
        smmu,
        kernelAts,
        atsCapability,
        numaNode,
        ats,
        pasidBits,
        because,
        ready,
        vendor,
        device,
      }) => ({
        bdf,
        smmu: one(smmu),
        kernelAts,
        atsCapability,
        numaNode,
        ats,
        pasidBits,
        because: because === undefined ? undefined : one(because),
        ready,
        vendor,
        device,
      }),
    ),
  };
}

function byAddress(devices: readonly KeptDevice[]): Map<Bdf, KeptDevice> {
  return new Map(
    devices.flatMap((device) => {
      const bdf = parseBdf(device.bdf);
      return bdf === undefined ? [] : [[bdf, device] as const];
    }),
  );
}

/** The annotation's version 1 leaves PCI ids out; the profile has them. */
function withModels(features: HostFeatures, profiled: ReadonlyMap<Bdf, KeptDevice>): HostFeatures {
  const one = sharedTexts();
  const devices = [...features.devices].map(([bdf, device]): [Bdf, DeviceFeatures] => {
    const found = profiled.get(bdf);
    const model = found && modelOf(found);
    return [bdf, { ...device, model: model && one(model) }];
  });
  return { ...features, devices: new Map(devices) };
}

function modelOf({ vendor, device }: KeptDevice): string | undefined {
  return vendor === undefined || device === undefined ? undefined : `${vendor}:${device}`;
}

/** The annotation that a profile stands for: devices that share an SMMU and answers are grouped. */
export function annotationOfProfile(spec: AnnotatedSpec, version: AnnotationVersion = 1): ResolvedAnnotation {
  const groups: ResolvedAnnotation['groups'] = [];
  const indexOf = new Map<string, number>();
  const devices: Record<string, number> = {};
  for (const device of spec.devices) {
    const { bdf, smmu, kernelAts, atsCapability, numaNode } = device;
    const model = version === 1 ? undefined : modelOf(device);
    const group = {
      smmu,
      ats: kernelAts,
      ...(atsCapability === undefined ? {} : { capability: atsCapability }),
      ...(numaNode === undefined ? {} : { numa: numaNode }),
      ...(model === undefined ? {} : { model }),
    };
    const identity = JSON.stringify(group);
    let index = indexOf.get(identity);
    if (index === undefined) {
      index = groups.push(group) - 1;
      indexOf.set(identity, index);
    }
    devices[bdf] = index;
  }
  const smmus = Object.fromEntries(spec.smmus.map((smmu) => [smmu.name, annotatedSmmu(smmu)]));
  return { version, node: spec.node, smmus, groups, devices };
}

function annotatedSmmu({ accel, limits, obstacles = [] }: ProfileSmmu) {
  if (accel === 'on' && limits !== undefined) return { accel: 'on' as const, ...limits };
  const [first, ...others] = obstacles.map(({ code, message, remedy }) => ({
    code,
    because: message,
    remedy,
  }));
  const reason = first ?? {
    code: 'HW_INFO_UNKNOWN',
    because: 'the node does not say why',
    remedy: 'Run vsmmu probe on the node.',
  };
  return {
    accel: 'impossible' as const,
    ...reason,
    ...(others.length === 0 ? {} : { also: others }),
    ...(limits === undefined ? {} : { limits }),
  };
}

function malformed(name: string, message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('PROFILE_MALFORMED', message, {
    place: `NodeProfile ${name}`,
    remedy: 'Run agent and webhook at the same release, and install the CRD of that release.',
    cause,
  });
}
