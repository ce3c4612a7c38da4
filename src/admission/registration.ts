import type { ResourceSelection } from '../kubevirt/vmi-create.js';

/**
 * How an API server is told of the webhook: which writes it sends, and which it never does. The expressions are CEL,
 * evaluated in the API server, so that a VMI without our devices, and every update that changes nothing for us,
 * costs no call.
 */
export interface RegistrationOptions {
  /** Name of both configurations. */
  readonly name: string;
  readonly resources: ResourceSelection;
  /** The annotation of hook sidecars as the mutating webhook writes it where nobody names another. */
  readonly onlyOurHook: string;
  /** VMIs may ask by ResourceClaims, whose contents CEL cannot see: each that names one causes one call. */
  readonly claims?: boolean;
  /** Namespaces that are never looked at: the control plane's and the webhook's own. */
  readonly excludedNamespaces: readonly string[];
  /** Where the webhook is, for the path that is given. */
  readonly clientConfig: (path: string) => Readonly<Record<string, unknown>>;
  readonly timeoutSeconds?: number;
}

const RESOLVED = "'vsmmu.io/resolved'";
const REQUIRE = "'vsmmu.io/require'";
const SIDECARS = "'hooks.kubevirt.io/hookSidecars'";

/** CEL: the value of an annotation in `object`, or "". */
function annotationOf(object: 'object' | 'oldObject', key: string): string {
  const annotations = `${object}.metadata.annotations`;
  return `(has(${annotations}) && ${key} in ${annotations} ? ${annotations}[${key}] : '')`;
}

function resolvedOf(object: 'object' | 'oldObject'): string {
  return annotationOf(object, RESOLVED);
}

/** CEL: does the VMI ask for a device of ours, or carry an annotation of ours? */
function concerned(resources: ResourceSelection): string {
  const annotations = 'object.metadata.annotations';
  const marked = `(has(${annotations}) && (${REQUIRE} in ${annotations} || ${RESOLVED} in ${annotations}))`;
  return resources.length === 0 ? marked : `${marked} || ${someDevice(served(resources), '||')}`;
}

/** CEL: does device request `d` name a resource of ours? */
function served(resources: ResourceSelection): string {
  const terms = resources.map((name) =>
    name.endsWith('/') ? `d.deviceName.startsWith(${celText(name)})` : `d.deviceName == ${celText(name)}`,
  );
  return `has(d.deviceName) && (${terms.join(' || ')})`;
}

/** CEL: is there a device request `d` of which `condition` holds in either list, or in both? */
function someDevice(condition: string, either: '||' | '&&'): string {
  const devices = 'object.spec.domain.devices';
  const among = (list: string) => `(has(${devices}.${list}) && ${devices}.${list}.exists(d, ${condition}))`;
  return `(has(object.spec) && has(object.spec.domain) && has(${devices}) && (${among('gpus')} ${either} ${among('hostDevices')}))`;
}

/**
 * CEL: is the VMI not what the mutating webhook makes of most? It judges all that is asked of a VMI itself; what others
 * may have changed since is to be seen here: the hook is exactly ours and the only one, no values stand there, and our
 * devices are in one list. Then a second call would tell nothing, and half of the time that vsmmu costs is saved.
 */
function unsettled(resources: ResourceSelection, onlyOurHook: string): string {
  const doubled = resources.length === 0 ? 'false' : someDevice(served(resources), '&&');
  return `${annotationOf('object', SIDECARS)} != ${celText(onlyOurHook)} || ${resolvedOf('object')} != '' || ${doubled}`;
}

function celText(text: string): string {
  return `'${text.replaceAll(/[\\']/g, (character) => `\\${character}`)}'`;
}

/**
 * CEL: handed to a node, not started, and without that node's values; or with values and the hook refused them
 * (virt-handler then says so in a condition), in which case newer ones may help.
 */
const WAITS_FOR_VALUES = [
  {
    name: 'handed-over-and-not-started',
    expression:
      "has(object.status) && has(object.status.nodeName) && object.status.nodeName != '' && has(object.status.phase) && object.status.phase == 'Scheduled'",
  },
  {
    name: 'without-values-or-refused',
    expression: `!${resolvedOf('object')}.contains('"node":"' + object.status.nodeName + '"') || (has(object.status.conditions) && object.status.conditions.exists(c, c.type == 'Synchronized' && c.status == 'False'))`,
  },
];

/**
 * CEL: values that are new, or other hooks in a VMI that concerns us: virt-controller makes the pod a moment after the
 * VMI, and KubeVirt lets everybody change annotations until then and later. Or the mark is gone by which a VMI with
 * claims concerns us at all.
 */
function annotationChanged(isConcerned: string): string {
  const hooks = `${annotationOf('object', SIDECARS)} != ${annotationOf('oldObject', SIDECARS)}`;
  const marked = (object: string) =>
    `(has(${object}.metadata.annotations) && ${REQUIRE} in ${object}.metadata.annotations)`;
  const [wasMarked, isMarked] = [marked('oldObject'), marked('object')];
  return `(${resolvedOf('object')} != '' && ${resolvedOf('object')} != ${resolvedOf('oldObject')}) || (${hooks} && (${wasMarked} || ${isConcerned})) || (${wasMarked} && !${isMarked})`;
}

export function webhookRegistrations(options: RegistrationOptions) {
  const { name, resources, onlyOurHook, clientConfig, excludedNamespaces } = options;
  const { timeoutSeconds = 3, claims = false } = options;
  const isConcerned = { name: 'concerns-vsmmu', expression: concerned(resources) };
  const mayBeConcerned = claims
    ? { ...isConcerned, expression: `${isConcerned.expression} || ${someDevice('has(d.claimName)', '||')}` }
    : isConcerned;
  const webhook = (
    id: string,
    path: string,
    operation: 'CREATE' | 'UPDATE',
    failurePolicy: 'Fail' | 'Ignore',
    matchConditions: readonly { readonly name: string; readonly expression: string }[],
  ) => ({
    name: `${id}.vsmmu.io`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy,
    matchPolicy: 'Equivalent',
    timeoutSeconds,
    clientConfig: clientConfig(path),
    rules: [
      {
        apiGroups: ['kubevirt.io'],
        apiVersions: ['v1'],
        resources: ['virtualmachineinstances'],
        operations: [operation],
        scope: 'Namespaced',
      },
    ],
    namespaceSelector: {
      matchExpressions: [
        { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [...excludedNamespaces] },
      ],
    },
    matchConditions,
  });
  const frame = (kind: string, webhooks: readonly object[]) => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name },
    webhooks,
  });
  return {
    mutating: frame('MutatingWebhookConfiguration', [
      {
        ...webhook('virtualmachineinstances', '/mutate', 'CREATE', 'Fail', [mayBeConcerned]),
        // Another webhook may change the sidecars after us.
        reinvocationPolicy: 'IfNeeded',
      },
      // Without an answer the VM waits, its hook says why, and the next update brings the values: no status is lost.
      webhook('handover', '/mutate', 'UPDATE', 'Ignore', [isConcerned, ...WAITS_FOR_VALUES]),
    ]),
    validating: frame('ValidatingWebhookConfiguration', [
      webhook('virtualmachineinstances', '/validate', 'CREATE', 'Fail', [
        isConcerned,
        { name: 'not-settled', expression: unsettled(resources, onlyOurHook) },
      ]),
      webhook('annotation', '/validate', 'UPDATE', 'Fail', [
        { name: 'annotation-changed', expression: annotationChanged(isConcerned.expression) },
      ]),
    ]),
  };
}
