import * as z from 'zod';

import type { KubeClient } from '../../cluster/kube-client.js';
import type { KubeObject, Manifest, ResourceType } from '../../cluster/resource.js';

const type = (kind: string, plural: string): ResourceType => ({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind,
  plural,
  namespaced: false,
});

export const MUTATING = type('MutatingWebhookConfiguration', 'mutatingwebhookconfigurations');
export const VALIDATING = type('ValidatingWebhookConfiguration', 'validatingwebhookconfigurations');

const configurationSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  webhooks: z
    .array(z.looseObject({ clientConfig: z.looseObject({ caBundle: z.string().optional() }) }))
    .default([]),
});

/** One of our webhook configurations as it stands in the API server. */
export interface WebhookConfiguration {
  readonly resource: ResourceType;
  readonly object: KubeObject;
  /** PEM that every webhook in it trusts; undefined where they differ or one has none. */
  readonly bundle: string | undefined;
}

export async function readConfiguration(
  client: KubeClient,
  resource: ResourceType,
  name: string,
  signal: AbortSignal,
): Promise<WebhookConfiguration> {
  const object = await client.get(resource, { name }, signal);
  const { webhooks } = configurationSchema.parse(object);
  const bundles = new Set(webhooks.map(({ clientConfig }) => clientConfig.caBundle));
  const [only] = bundles;
  const bundle =
    bundles.size === 1 && only !== undefined ? Buffer.from(only, 'base64').toString('utf8') : undefined;
  return { resource, object, bundle };
}

/**
 * Has every webhook of a configuration trust `bundle`. Refused with KUBE_CONFLICT where it was changed since it was
 * read, so that a bundle made from an older Secret never replaces one made from a newer.
 */
export async function writeBundle(
  client: KubeClient,
  { resource, object }: WebhookConfiguration,
  bundle: string,
  signal: AbortSignal,
): Promise<void> {
  const caBundle = Buffer.from(bundle).toString('base64');
  const configuration = configurationSchema.parse(object);
  const webhooks = configuration.webhooks.map((webhook) => ({
    ...webhook,
    clientConfig: { ...webhook.clientConfig, caBundle },
  }));
  const manifest: Manifest = { ...configuration, metadata: { ...object.metadata }, webhooks };
  await client.replace(resource, manifest, { signal });
}
