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

/** CEL: the value of our annotation in `object`, or "". */
function resolvedOf(object: 'object' | 'oldObject'): string {
  const annotations = `${object}.metadata.annotations`;
  return `(has(${annotations}) && ${RESOLVED} in ${annotations} ? ${annotations}[${RESOLVED}] : '')`;
}

/** CEL: does the VMI ask for a device of ours, or carry an annotation of ours? */
function concerned(resources: ResourceSelection): string {
  const annotations = 'object.metadata.annotations';
  const marked = `(has(${annotations}) && (${REQUIRE} in ${annotations} || ${RESOLVED} in ${annotations}))`;
  const terms = resources.map((name) =>
    name.endsWith('/') ? `d.deviceName.startsWith(${celText(name)})` : `d.deviceName == ${celText(name)}`,
  );
  if (terms.length === 0) return marked;
  return `${marked} || ${someDevice(`has(d.deviceName) && (${terms.join(' || ')})`)}`;
}

/** CEL: is there a device request `d` of which `condition` holds? */
function someDevice(condition: string): string {
  const devices = 'object.spec.domain.devices';
  const among = (list: string) => `(has(${devices}.${list}) && ${devices}.${list}.exists(d, ${condition}))`;
  return `(has(object.spec) && has(object.spec.domain) && has(${devices}) && (${among('gpus')} || ${among('hostDevices')}))`;
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

const ANNOTATION_CHANGED = {
  name: 'annotation-changed',
  expression: `${resolvedOf('object')} != '' && ${resolvedOf('object')} != ${resolvedOf('oldObject')}`,
};

export function webhookRegistrations(options: RegistrationOptions) {
  const { name, resources, clientConfig, timeoutSeconds = 3, excludedNamespaces, claims = false } = options;
  const isConcerned = { name: 'concerns-vsmmu', expression: concerned(resources) };
  const mayBeConcerned = claims
    ? { ...isConcerned, expression: `${isConcerned.expression} || ${someDevice('has(d.claimName)')}` }
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
      webhook('virtualmachineinstances', '/validate', 'CREATE', 'Fail', [isConcerned]),
      webhook('annotation', '/validate', 'UPDATE', 'Fail', [ANNOTATION_CHANGED]),
    ]),
  };
}
