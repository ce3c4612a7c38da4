import {
  HOOK_SIDECARS_ANNOTATION,
  REQUIRE_ANNOTATION,
  RESOLVED_ANNOTATION,
} from '../kubevirt/annotations.js';
import { checkSidecars, type HookContainer } from '../kubevirt/hook-sidecars.js';
import { asksForVsmmu, type ResourceSelection, selectsResource } from '../kubevirt/vmi-create.js';
import { checkResolvedAnnotation, type NodeLookup } from '../kubevirt/vmi-handover.js';
import { type DeviceRequest, parseVmi, type Vmi } from '../kubevirt/vmi.js';
import { printable } from '../printable.js';
import type { ReviewHandler } from './https-server.js';
import { isVmi, judged } from './mutate.js';
import { type Placement, unplaceable } from './placement.js';
import { type AdmissionRequest, type FieldCause, refusal, type Verdict } from './review.js';
import type { VmiPolicy } from './vmi-policy.js';

/** Characters of a user's text that a message quotes. */
const NAME_SHOWN = 100;

export interface ValidateOptions {
  readonly resources: ResourceSelection;
  /** The only hook that a VMI with our devices may have; undefined: others may stand beside it. */
  readonly onlyHook?: HookContainer;
  readonly lookup: NodeLookup;
  /** Namespace of KubeVirt's own service accounts. */
  readonly kubevirtNamespace: string;
  /** Empty where some node could start the VMI; undefined: not looked at. */
  readonly placement?: Placement;
  /** undefined: policies are not looked at. */
  readonly policy?: VmiPolicy;
}

/** /validate: what a VMI must not be. It sees the object as it will be stored, after every other webhook. */
export function validateHandler(options: ValidateOptions): ReviewHandler {
  return (request) => {
    if (!isVmi(request) || (request.operation !== 'CREATE' && request.operation !== 'UPDATE'))
      return { allowed: true };
    return judged(() => validateVmi(request, options));
  };
}

function validateVmi(request: AdmissionRequest, options: ValidateOptions): Verdict {
  const vmi = parseVmi(request.object);
  const old = request.operation === 'CREATE' ? undefined : parseVmi(request.oldObject);
  const causes = [...annotationCauses(vmi, old, request, options), ...unmarkedCauses(vmi, old)];
  const asks = [vmi, ...(old === undefined ? [] : [old])].some((one) => asksForVsmmu(one, options.resources));
  // virt-controller makes the pod some time after the VMI: until then a later edit could still bring another hook.
  const hooksChanged = old === undefined || sidecarsOf(vmi) !== sidecarsOf(old);
  if (asks && hooksChanged) causes.push(...hookCauses(vmi, old, request, options));
  if (asks && old === undefined) {
    causes.push(...doubledDevices(vmi.devices, options.resources));
    if (causes.length === 0 && !isLeftAlone(vmi, request, options))
      causes.push(...unplaceable(options.placement?.(vmi) ?? []));
  }
  return causes.length === 0 ? { allowed: true } : refusal(old === undefined ? 422 : 403, causes);
}

function annotationCauses(
  vmi: Vmi,
  old: Vmi | undefined,
  { username }: AdmissionRequest,
  { lookup, kubevirtNamespace }: ValidateOptions,
): FieldCause[] {
  const requester = { username, isKubeVirt: isKubeVirt(username, kubevirtNamespace) };
  const message = checkResolvedAnnotation(vmi, old, lookup, requester);
  const field = `metadata.annotations[${RESOLVED_ANNOTATION}]`;
  return message === undefined ? [] : [{ reason: 'FieldValueForbidden', field, message }];
}

/** By this annotation alone a VMI with claims is known for ours: without it, its hooks could be changed unseen. */
function unmarkedCauses({ annotations }: Vmi, old: Vmi | undefined): FieldCause[] {
  if (old?.annotations?.[REQUIRE_ANNOTATION] === undefined || annotations?.[REQUIRE_ANNOTATION] !== undefined)
    return [];
  const field = `metadata.annotations[${REQUIRE_ANNOTATION}]`;
  const message = 'it stays as long as the VMI; create the VMI anew without it';
  return [{ reason: 'FieldValueForbidden', field, message }];
}

/** KubeVirt's service accounts (staging/src/kubevirt.io/api, and pkg/virt-operator/resource/generate/rbac). */
const KUBEVIRT_ACCOUNTS = [
  'kubevirt-apiserver',
  'kubevirt-controller',
  'kubevirt-handler',
  'kubevirt-synchronization-controller',
];

function isKubeVirt(username: string, namespace: string): boolean {
  return KUBEVIRT_ACCOUNTS.some((account) => username === `system:serviceaccount:${namespace}:${account}`);
}

/** virt-launcher keeps one pool of addresses for each list and takes from both: one device would be used twice. */
export function doubledDevices(
  devices: readonly DeviceRequest[],
  resources: ResourceSelection,
): FieldCause[] {
  const inGpus = new Set(devices.filter(({ list }) => list === 'gpus').map(({ deviceName }) => deviceName));
  return devices.flatMap(({ list, index, deviceName }): FieldCause[] => {
    if (list !== 'hostDevices' || deviceName === undefined || !inGpus.has(deviceName)) return [];
    if (!selectsResource(resources, deviceName)) return [];
    return [
      {
        reason: 'FieldValueDuplicate',
        field: `spec.domain.devices.hostDevices[${index}].deviceName`,
        message: `${printable(deviceName.slice(0, NAME_SHOWN))} is also in gpus, and KubeVirt would hand out one device twice; ask for all of them in one list`,
      },
    ];
  });
}

function sidecarsOf({ annotations }: Vmi): string | undefined {
  return annotations?.[HOOK_SIDECARS_ANNOTATION];
}

/** A policy may leave a VMI alone: then it has no hook, and starts wherever it can. */
function isLeftAlone(vmi: Vmi, request: AdmissionRequest, { policy }: ValidateOptions): boolean {
  return policy?.(vmi, request).serve === false;
}

function hookCauses(
  vmi: Vmi,
  old: Vmi | undefined,
  request: AdmissionRequest,
  options: ValidateOptions,
): FieldCause[] {
  const { onlyHook: hook } = options;
  if (hook === undefined) return [];
  const { foreign, ours } = checkSidecars(sidecarsOf(vmi), hook, argumentsBefore(old, hook));
  const field = `metadata.annotations[${HOOK_SIDECARS_ANNOTATION}]`;
  const causes = foreign.map(({ index, image }): FieldCause => ({
    reason: 'FieldValueForbidden',
    field: `${field}[${index}]`,
    message:
      image === hook.image
        ? "vsmmu's hook has another command, arguments or fields than the webhook gives it; leave it out"
        : `a VMI with vsmmu's devices has no other hook than ${hook.image}; leave it out`,
  }));
  const named = ours !== undefined || foreign.some(({ image }) => image === hook.image);
  if (named || isLeftAlone(vmi, request, options)) return causes;
  const message = `the hook ${hook.image} is missing: it was removed after vsmmu had added it`;
  return [...causes, { reason: 'FieldValueInvalid', field, message }];
}

/** What policies gave the hook when the VMI was created; a later edit must not take it back. */
function argumentsBefore(old: Vmi | undefined, hook: HookContainer): readonly string[] | undefined {
  if (old === undefined) return undefined;
  try {
    return checkSidecars(sidecarsOf(old), hook).ours;
  } catch {
    // Nobody judged it when it was written, or it would not stand there: nothing of it has to stay.
    return undefined;
  }
}
