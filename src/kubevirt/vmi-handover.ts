import { BASELINE_DEVICES_ANNOTATION, RESOLVED_ANNOTATION } from './annotations.js';
import { jsonPointer, type JsonPatchOperation, patchStringMap } from './json-patch.js';
import { annotatedNode } from './read-resolved.js';
import type { AnnotationVersion } from './resolved-annotation.js';
import type { Vmi } from './vmi.js';

/** What is known of a node at the moment of a review. */
export type NodeValues =
  { readonly known: true; readonly annotation: string } | { readonly known: false; readonly because: string };

/** @param version of the annotation */
export type NodeLookup = (node: string, version: AnnotationVersion) => NodeValues;

export interface Handover {
  readonly patch: readonly JsonPatchOperation[];
  readonly warnings: readonly string[];
}

/**
 * What a VMI gets when virt-controller hands it to a node, which is the one UPDATE that sets status.nodeName: that
 * node's values, in the same write, so that virt-launcher never sees the VMI without them. A later update brings
 * what was missing then. Once the VM runs, its values stay as they were: its vSMMUs were made of them.
 *
 * A change that a person made is left standing here; {@link checkResolvedAnnotation} refuses it.
 */
export function handOver(vmi: Vmi, old: Vmi, lookup: NodeLookup): Handover {
  const { nodeName } = vmi;
  const present = vmi.annotations?.[RESOLVED_ANNOTATION];
  const before = old.annotations?.[RESOLVED_ANNOTATION];
  const changedByRequest = present !== undefined && present !== before;
  if (nodeName === undefined || changedByRequest) return NOTHING;
  if (present !== undefined && vmi.phase !== 'Scheduled' && annotatedNode(present) === nodeName)
    return NOTHING;

  const values = lookup(nodeName, versionFor(vmi));
  if (!values.known) {
    // Values that stand there already are of this node's recent past, which is better than none.
    if (present !== undefined && annotatedNode(present) === nodeName) return NOTHING;
    const patch = patchAnnotation(vmi, undefined);
    return { patch, warnings: [`vsmmu: ${values.because}; the VM waits until its values are known`] };
  }
  return { patch: patchAnnotation(vmi, values.annotation), warnings: [] };
}

const NOTHING: Handover = { patch: [], warnings: [] };

function patchAnnotation(vmi: Vmi, value: string | undefined): JsonPatchOperation[] {
  const at = jsonPointer('metadata', 'annotations');
  return patchStringMap(at, vmi.annotations, { [RESOLVED_ANNOTATION]: value });
}

/** A hook looks for models only where the VMI says something of them. */
function versionFor({ annotations }: Vmi): AnnotationVersion {
  return annotations?.[BASELINE_DEVICES_ANNOTATION] === undefined ? 1 : 2;
}

/** Who asks for a change of a VMI. */
export interface Requester {
  readonly username: string;
  /** KubeVirt's own components, which hand VMIs to nodes and carry their annotations along. */
  readonly isKubeVirt: boolean;
}

/**
 * May the annotation be what it is in the final object? The hook believes it, so nobody but us may choose it: at
 * CREATE it must not be there, later it must be what it was, what the node's values are now, or, in a write of
 * KubeVirt's, at least an annotation of the VMI's own node: another replica of the webhook may know the node better.
 *
 * @param old undefined at CREATE
 * @returns why not; undefined where it may
 */
export function checkResolvedAnnotation(
  vmi: Vmi,
  old: Vmi | undefined,
  lookup: NodeLookup,
  requester: Requester,
): string | undefined {
  const present = vmi.annotations?.[RESOLVED_ANNOTATION];
  const before = old?.annotations?.[RESOLVED_ANNOTATION];
  if (present === undefined || present === before) return undefined;
  if (old === undefined) return 'only the webhook of vsmmu writes it, when the VM has a node; leave it out';
  if (vmi.nodeName === undefined) return 'the VM has no node yet, so there are no values to write';
  const values = lookup(vmi.nodeName, versionFor(vmi));
  if (values.known && values.annotation === present) return undefined;
  if (requester.isKubeVirt && annotatedNode(present) === vmi.nodeName) return undefined;
  return 'only the webhook of vsmmu writes it; leave it as it is, or remove it to have it written anew';
}
