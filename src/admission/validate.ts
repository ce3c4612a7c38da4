import { HOOK_SIDECARS_ANNOTATION, RESOLVED_ANNOTATION } from '../kubevirt/annotations.js';
import { sidecarImages } from '../kubevirt/hook-sidecars.js';
import { asksForVsmmu, type ResourceSelection, selectsResource } from '../kubevirt/vmi-create.js';
import { checkResolvedAnnotation, type NodeLookup } from '../kubevirt/vmi-handover.js';
import { type DeviceRequest, parseVmi, type Vmi } from '../kubevirt/vmi.js';
import type { ReviewHandler } from './https-server.js';
import { isVmi, judged } from './mutate.js';
import type { AdmissionRequest, FieldCause, Verdict } from './review.js';

export interface ValidateOptions {
  readonly resources: ResourceSelection;
  /** The only image that may be a hook of a VMI with our devices; undefined: others may stand beside it. */
  readonly onlyHook?: string;
  readonly lookup: NodeLookup;
  /** Namespace of KubeVirt's own service accounts. */
  readonly kubevirtNamespace: string;
  /** Nodes that could start the VMI, or why none can; undefined: not looked at. */
  readonly placement?: (vmi: Vmi, request: AdmissionRequest) => readonly string[];
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
  const causes = [...annotationCauses(vmi, old, request, options)];
  if (old === undefined && asksForVsmmu(vmi, options.resources)) {
    causes.push(...doubledDevices(vmi.devices, options.resources), ...foreignHooks(vmi, options.onlyHook));
    if (causes.length === 0) causes.push(...unplaceable(vmi, request, options));
  }
  const [first] = causes;
  if (first === undefined) return { allowed: true };
  const message = causes.map((cause) => `${cause.field}: ${cause.message}`).join('; ');
  return { allowed: false, code: old === undefined ? 422 : 403, message: `vsmmu: ${message}`, causes };
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
function doubledDevices(devices: readonly DeviceRequest[], resources: ResourceSelection): FieldCause[] {
  const inGpus = new Set(devices.filter(({ list }) => list === 'gpus').map(({ deviceName }) => deviceName));
  return devices.flatMap(({ list, index, deviceName }): FieldCause[] => {
    if (list !== 'hostDevices' || deviceName === undefined || !inGpus.has(deviceName)) return [];
    if (!selectsResource(resources, deviceName)) return [];
    return [
      {
        reason: 'FieldValueDuplicate',
        field: `spec.domain.devices.hostDevices[${index}].deviceName`,
        message: `${printable(deviceName)} is also in gpus, and KubeVirt would hand out one device twice; ask for all of them in one list`,
      },
    ];
  });
}

function foreignHooks(vmi: Vmi, hookImage: string | undefined): FieldCause[] {
  if (hookImage === undefined) return [];
  const images = sidecarImages(vmi.annotations?.[HOOK_SIDECARS_ANNOTATION]);
  const field = `metadata.annotations[${HOOK_SIDECARS_ANNOTATION}]`;
  const causes = images.flatMap((image, index): FieldCause[] =>
    image === hookImage
      ? []
      : [
          {
            reason: 'FieldValueForbidden',
            field: `${field}[${index}]`,
            message: `a VMI with vsmmu's devices has no other hook than ${hookImage}; leave it out`,
          },
        ],
  );
  if (images.includes(hookImage)) return causes;
  const message = `the hook ${hookImage} is missing: another webhook removed what vsmmu had added`;
  return [...causes, { reason: 'FieldValueInvalid', field, message }];
}

function unplaceable(vmi: Vmi, request: AdmissionRequest, { placement }: ValidateOptions): FieldCause[] {
  const reasons = placement?.(vmi, request) ?? [];
  if (reasons.length === 0) return [];
  const told = reasons.slice(0, 5).join('; ');
  const more = reasons.length > 5 ? `; and ${reasons.length - 5} more nodes` : '';
  return [
    {
      reason: 'FieldValueNotSupported',
      field: 'spec.domain.devices',
      message: `no node could start this VM: ${told}${more}`,
    },
  ];
}

/** Somebody else's text in a message: short, and without control characters. */
function printable(text: string): string {
  return text.slice(0, 100).replaceAll(/[\u0000-\u001f\u007f]/g, '?');
}
