import { renderChart } from '../kubernetes/chart.mjs';

export const NAME = 'vsmmu-webhook';
const VMI_RULE = {
  apiGroups: ['kubevirt.io'],
  apiVersions: ['v1'],
  resources: ['virtualmachineinstances'],
  operations: ['CREATE', 'UPDATE'],
  scope: 'Namespaced',
};

/**
 * The chart's configurations for a webhook that talks to the cluster. Where the chart has no rule for the hand-over or
 * no validating configuration, those of docs/webhook.md stand in: an update concerns us when the VMI is on a node whose
 * values it doesn't carry.
 * @returns {Promise<{ mutating: any, validating: any }>} with the webhook at this port of the machine
 */
export async function configurations(ctx, port) {
  const objects = await renderChart(ctx);
  const mutating = objects.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
  const validating =
    objects.find(({ kind }) => kind === 'ValidatingWebhookConfiguration') ?? standIn(mutating);
  const [webhook] = mutating.webhooks;
  const updates = mutating.webhooks.some(({ rules }) => rules[0].operations.includes('UPDATE'));
  if (!updates) {
    webhook.rules = [VMI_RULE];
    webhook.matchConditions.push({ name: 'not-resolved-yet', expression: NOT_RESOLVED });
  }
  for (const [configuration, path] of [
    [mutating, '/mutate'],
    [validating, '/validate'],
  ]) {
    configuration.metadata = { name: NAME };
    for (const one of configuration.webhooks) one.clientConfig = { url: `https://127.0.0.1:${port}${path}` };
  }
  return { mutating, validating };
}

/** CEL: a creation, or a VMI on a node that carries no values, or changed them. */
const NOT_RESOLVED = [
  "request.operation == 'CREATE'",
  '(has(object.status) && has(object.status.nodeName) && (' +
    "!has(object.metadata.annotations) || !('vsmmu.io/resolved' in object.metadata.annotations) || " +
    '!has(oldObject.status) || !has(oldObject.status.nodeName) || oldObject.status.nodeName != object.status.nodeName))',
].join(' || ');

function standIn({ webhooks: [mutating] }) {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    webhooks: [
      {
        name: 'validate.vsmmu.io',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
        timeoutSeconds: mutating.timeoutSeconds,
        rules: [VMI_RULE],
        matchConditions: [mutating.matchConditions[0]],
      },
    ],
  };
}
