import * as z from 'zod';

/** Where the API server keeps a kind of object. `group` is '' for the core group. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

/** One object; `namespace` is required exactly for namespaced resources. */
export interface ObjectRef {
  readonly name: string;
  readonly namespace?: string | undefined;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly uid?: string | undefined;
  /** Opaque; compared for equality only. */
  readonly resourceVersion?: string | undefined;
  readonly generation?: number | undefined;
  readonly creationTimestamp?: string | undefined;
  readonly deletionTimestamp?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** An object as the API server sent it: its metadata is checked, everything else is for the reader of its kind. */
export interface KubeObject {
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** What is sent; the API server checks it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta & {
    readonly ownerReferences?: readonly unknown[];
    readonly finalizers?: readonly string[];
  };
  readonly [field: string]: unknown;
}

const stringMap = z.record(z.string(), z.string()).optional();
const objectSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    resourceVersion: z.string().optional(),
    generation: z.number().optional(),
    creationTimestamp: z
      .string()
      .nullish()
      .transform((time) => time ?? undefined),
    deletionTimestamp: z
      .string()
      .nullish()
      .transform((time) => time ?? undefined),
    labels: stringMap,
    annotations: stringMap,
  }),
});

/** @returns undefined where the JSON is no Kubernetes object */
export function parseObject(json: unknown): KubeObject | undefined {
  const parsed = objectSchema.safeParse(json);
  return parsed.success ? parsed.data : undefined;
}

/** "/apis/vsmmu.io/v1alpha1/baselines", "/api/v1/namespaces/shop/pods". Without a namespace: all namespaces. */
export function collectionPath(type: ResourceType, namespace?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const inNamespace =
    type.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${inNamespace}/${type.plural}`;
}

export function objectPath(type: ResourceType, ref: ObjectRef, subresource?: string): string {
  const below = subresource === undefined ? '' : `/${subresource}`;
  return `${collectionPath(type, ref.namespace)}/${encodeURIComponent(ref.name)}${below}`;
}

/** "v1", "vsmmu.io/v1alpha1". */
export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** "shop/db-1", "node-7": unique within one resource. */
export function keyOf({ namespace, name }: ObjectRef): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}
