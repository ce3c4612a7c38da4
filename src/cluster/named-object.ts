import type { KubeClient } from './kube-client.js';
import { isKubeError } from './kube-error.js';
import { apiVersionOf, type KubeObject, type ObjectRef, type ResourceType } from './resource.js';

const FIELD_MANAGER = 'vsmmu-maker';

/**
 * Reads an object that the chart made; where somebody has deleted it since, it comes back, empty. What then goes into
 * it is written by its reader, with the resourceVersion that is returned, so that one of several replicas is first.
 *
 * By server-side apply, not by POST: RBAC can keep the right to create to one name only where the name is in the
 * request's path (k8s.io/apiserver, endpoints/handlers/patch.go asks for "create" with it).
 */
export async function getOrMake(
  client: KubeClient,
  type: ResourceType,
  ref: ObjectRef,
  signal?: AbortSignal,
): Promise<KubeObject> {
  try {
    return await client.get(type, ref, signal);
  } catch (error) {
    if (!isKubeError(error, 'KUBE_NOT_FOUND')) throw error;
  }
  const empty = { apiVersion: apiVersionOf(type), kind: type.kind, metadata: { ...ref } };
  return client.apply(type, empty, { fieldManager: FIELD_MANAGER, signal });
}
