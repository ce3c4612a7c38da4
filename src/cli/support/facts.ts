import * as z from 'zod';

import { NODES, VMIS } from '../../cluster/core-resources.js';
import { NODE_PROFILES } from '../../cluster/node-profile.js';
import { type KubeObject, keyOf, type ResourceType } from '../../cluster/resource.js';
import { BASELINES } from '../../fleet/baseline-object.js';
import { POLICIES } from '../../fleet/policy.js';
import { firstIssue } from '../../schema-issue.js';
import { MUTATING, VALIDATING } from '../../admission/certificates/webhook-configurations.js';

/**
 * One file of a support bundle: objects of a kind, each cut down to what explains vsmmu. What may hold secrets or a
 * person's own data (volumes, user data, environment of pods) is never among it, and Secrets are not read at all.
 */
export interface Fact {
  /** "nodes": the file is nodes.yaml. */
  readonly name: string;
  readonly type: ResourceType;
  readonly labelSelector?: string;
  /** undefined: the object does not belong into the bundle. */
  readonly cut: (object: KubeObject) => Readonly<Record<string, unknown>> | undefined;
}

/** Everything that the chart makes carries it. */
const OURS = 'app.kubernetes.io/part-of=vsmmu';

const kind = (group: string, version: string, name: string, plural: string, namespaced = true) =>
  ({ group, version, kind: name, plural, namespaced }) satisfies ResourceType;
export const PODS = kind('', 'v1', 'Pod', 'pods');

export const FACTS: readonly Fact[] = [
  { name: 'nodeprofiles', type: NODE_PROFILES, cut: whole },
  { name: 'policies', type: POLICIES, cut: whole },
  { name: 'baselines', type: BASELINES, cut: whole },
  { name: 'nodes', type: NODES, cut: cutNode },
  { name: 'vmis', type: VMIS, cut: cutVmi },
  {
    name: 'kubevirt',
    type: kind('kubevirt.io', 'v1', 'KubeVirt', 'kubevirts'),
    cut: cutKubeVirt,
  },
  { name: 'mutatingwebhooks', type: MUTATING, labelSelector: OURS, cut: whole },
  { name: 'validatingwebhooks', type: VALIDATING, labelSelector: OURS, cut: whole },
  {
    name: 'admissionpolicies',
    type: kind(
      'admissionregistration.k8s.io',
      'v1',
      'ValidatingAdmissionPolicy',
      'validatingadmissionpolicies',
      false,
    ),
    labelSelector: OURS,
    cut: whole,
  },
  {
    name: 'daemonsets',
    type: kind('apps', 'v1', 'DaemonSet', 'daemonsets'),
    labelSelector: OURS,
    cut: cutWorkload,
  },
  {
    name: 'deployments',
    type: kind('apps', 'v1', 'Deployment', 'deployments'),
    labelSelector: OURS,
    cut: cutWorkload,
  },
  { name: 'pods', type: PODS, labelSelector: OURS, cut: cutPod },
];

/** An object without who last wrote which field of it. */
function whole({ metadata, ...rest }: KubeObject): Readonly<Record<string, unknown>> {
  const kept = Object.entries(metadata).filter(([field]) => field !== 'managedFields');
  return { ...rest, metadata: Object.fromEntries(kept) };
}

const strings = z.record(z.string(), z.string());
const nodeFacts = z.object({
  spec: z
    .object({ taints: z.unknown().optional(), unschedulable: z.unknown().optional() })
    .partial()
    .optional(),
  status: z
    .object({
      allocatable: strings.optional(),
      capacity: strings.optional(),
      conditions: z.array(z.object({ type: z.string(), status: z.string(), reason: z.string().optional() })),
      nodeInfo: z.object({
        kernelVersion: z.string(),
        kubeletVersion: z.string(),
        architecture: z.string(),
        osImage: z.string(),
        containerRuntimeVersion: z.string(),
      }),
    })
    .partial()
    .optional(),
});

function cutNode(object: KubeObject) {
  const { spec, status } = parsed(nodeFacts, object);
  return {
    metadata: {
      name: object.metadata.name,
      labels: pick(object.metadata.labels, (key) => /vsmmu\.io\/|^kubernetes\.io\/|kubevirt\.io\//.test(key)),
    },
    spec,
    status: {
      ...status,
      allocatable: pick(status?.allocatable, isExtended),
      capacity: pick(status?.capacity, isExtended),
    },
  };
}

/** "vsmmu.io/10de-2941", unlike "cpu". */
function isExtended(resource: string): boolean {
  return resource.includes('/');
}

const devices = z.array(z.object({ name: z.string(), deviceName: z.string().optional() })).optional();
const vmiFacts = z.object({
  spec: z.object({
    domain: z.object({
      devices: z.object({ gpus: devices, hostDevices: devices }).default({}),
      cpu: z.unknown().optional(),
      memory: z.unknown().optional(),
    }),
  }),
  status: z
    .object({
      phase: z.string(),
      nodeName: z.string(),
      conditions: z.unknown().optional(),
      launcherContainerImageVersion: z.string(),
    })
    .partial()
    .optional(),
});

/** Only VMs with passed-through devices or words of ours. */
function cutVmi(object: KubeObject) {
  const { spec, status } = parsed(vmiFacts, object);
  const annotations = pick(object.metadata.annotations, (key) =>
    /(^|\.)vsmmu\.io\/|^hooks\.kubevirt\.io\//.test(key),
  );
  const { gpus = [], hostDevices = [] } = spec.domain.devices;
  if (gpus.length + hostDevices.length + Object.keys(annotations).length === 0) return undefined;
  const { name, namespace, creationTimestamp } = object.metadata;
  return { metadata: { name, namespace, creationTimestamp, annotations }, spec, status };
}

const kubeVirtFacts = z.object({
  spec: z
    .object({
      configuration: z
        .object({
          developerConfiguration: z.object({ featureGates: z.array(z.string()).optional() }).optional(),
          permittedHostDevices: z.unknown().optional(),
        })
        .optional(),
    })
    .optional(),
  status: z.object({ phase: z.string(), observedKubeVirtVersion: z.string() }).partial().optional(),
});

function cutKubeVirt(object: KubeObject) {
  const { name, namespace } = object.metadata;
  return { metadata: { name, namespace }, ...parsed(kubeVirtFacts, object) };
}

const containers = z.array(
  z.object({ name: z.string(), image: z.string(), args: z.array(z.string()).optional() }),
);
const workloadFacts = z.object({
  spec: z.object({
    replicas: z.number().optional(),
    template: z.object({ spec: z.object({ initContainers: containers.optional(), containers }) }),
  }),
  status: z.unknown().optional(),
});

function cutWorkload(object: KubeObject) {
  return { metadata: named(object), ...parsed(workloadFacts, object) };
}

const podFacts = z.object({
  spec: z.object({ nodeName: z.string().optional(), initContainers: containers.optional(), containers }),
  status: z.unknown().optional(),
});

function cutPod(object: KubeObject) {
  return { metadata: named(object), ...parsed(podFacts, object) };
}

/** @returns names of a pod's containers, those that run first included */
export function containersOf(pod: KubeObject): string[] {
  const { spec } = parsed(podFacts, pod);
  return [...(spec.initContainers ?? []), ...spec.containers].map(({ name }) => name);
}

function named({ metadata: { name, namespace, labels, creationTimestamp } }: KubeObject) {
  return { name, namespace, labels, creationTimestamp };
}

function pick(
  map: Readonly<Record<string, string>> | undefined,
  wanted: (key: string) => boolean,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([key]) => wanted(key)));
}

/** @throws Error that names the object; the API server keeps to these shapes */
function parsed<T>(schema: z.ZodType<T>, object: KubeObject): T {
  const result = schema.safeParse(object);
  if (result.success) return result.data;
  const { path, message } = firstIssue(result.error);
  throw new Error(`${keyOf(object.metadata)}: ${path}: ${message}`);
}
