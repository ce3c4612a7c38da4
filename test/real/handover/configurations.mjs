import { renderChart } from '../kubernetes/chart.mjs';

export const NAME = 'vsmmu-webhook';

/**
 * The chart's own configurations; only where the service stands is another matter here.
 * @returns {Promise<{ mutating: any, validating: any }>} with the webhook at this port of the machine
 */
export async function configurations(ctx, port) {
  const objects = await renderChart(ctx, {
    args: [
      ...['--set', 'agent.dra.enabled=true', '--api-versions', 'resource.k8s.io/v1'],
      // The hook's image as webhook.mjs has it.
      ...['--set', 'hook.image.registry=registry.example,hook.image.repository=vsmmu,hook.image.tag=test'],
    ],
  });
  const [mutating, validating] = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'].map(
    (wanted) => objects.find(({ kind }) => kind === wanted),
  );
  for (const configuration of [mutating, validating]) {
    configuration.metadata = { name: NAME };
    for (const webhook of configuration.webhooks) {
      webhook.clientConfig = { url: `https://127.0.0.1:${port}${webhook.clientConfig.service.path}` };
    }
  }
  return { mutating, validating };
}
