import type { ApiStore } from './api-store.js';

const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1';

/** What an installation finds and makes in a cluster. */
export function prepareCluster(store: ApiStore): void {
  store.put('/api/v1/nodes', { metadata: { name: 'node-1' } });
  store.put('/api/v1/namespaces', { metadata: { name: 'default', labels: {} } });
  for (const kind of ['mutating', 'validating'])
    store.put(`${WEBHOOKS}/${kind}webhookconfigurations`, {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: kind === 'mutating' ? 'MutatingWebhookConfiguration' : 'ValidatingWebhookConfiguration',
      metadata: { name: 'vsmmu-webhook' },
      webhooks: [{ name: 'a.vsmmu.io', clientConfig: { service: { name: 's', namespace: 'n' } } }],
    });
}

export function bundleOf(store: ApiStore): string | undefined {
  const configuration = store.get(`${WEBHOOKS}/mutatingwebhookconfigurations`, 'vsmmu-webhook') as
    { readonly webhooks?: readonly { readonly clientConfig: { readonly caBundle?: string } }[] } | undefined;
  const bundle = configuration?.webhooks?.[0]?.clientConfig.caBundle;
  return bundle === undefined ? undefined : Buffer.from(bundle, 'base64').toString('utf8');
}

/** By the controller, from the agent's profile. */
export function isLabelled(store: ApiStore): boolean {
  const node = store.get('/api/v1/nodes', 'node-1');
  return Object.keys(node?.metadata['labels'] ?? {}).some((key) => key.startsWith('vsmmu.io/'));
}
