import { MUTATING, VALIDATING } from '../../admission/certificates/webhook-configurations.js';
import { NODES } from '../../cluster/core-resources.js';
import type { KubeClient } from '../../cluster/kube-client.js';
import { isKubeError } from '../../cluster/kube-error.js';
import { ExitStatus, VsmmuError } from '../../errors.js';
import { labelPatch } from '../../fleet/node-labels.js';
import { DRA_DRIVER } from '../../cluster/dra-resources.js';
import { RESOURCE_SLICE } from '../../kubelet/dra/slices.js';
import type { CliIo } from '../io.js';
import { clusterClient, type ClusterOptions } from '../kubeconfig.js';
import { write } from '../write.js';

export interface CleanupOptions extends ClusterOptions {
  /** Names of webhook configurations, mutating and validating alike. */
  readonly webhookConfiguration: readonly string[];
  readonly nodeLabels: boolean;
  readonly resourceSlices: boolean;
}

/**
 * `vsmmu cleanup`: takes away what no chart owns, one line for each thing. What is gone already is well; running it
 * again finishes what was cut short.
 */
export async function runCleanup(options: CleanupOptions, io: CliIo): Promise<ExitStatus> {
  const { webhookConfiguration, nodeLabels, resourceSlices } = options;
  if (webhookConfiguration.length === 0 && !nodeLabels && !resourceSlices)
    throw new VsmmuError('USAGE', 'nothing is named that is to be removed', {
      place: 'vsmmu cleanup',
      remedy: 'Give --webhook-configuration NAME, --node-labels or --resource-slices.',
      exitStatus: ExitStatus.usage,
    });
  const client = await clusterClient(options, io);
  const told = (line: string) => write(io.stdout, `${line}\n`);
  try {
    // First of all: from here on nothing of ours stands in a VM's way.
    for (const name of webhookConfiguration) await removeWebhook(client, name, told);
    if (nodeLabels) await removeLabels(client, told, io.signal);
    if (resourceSlices) await removeSlices(client, told, io.signal);
    return ExitStatus.ok;
  } finally {
    client.close();
  }
}

type Told = (line: string) => Promise<void>;

async function removeWebhook(client: KubeClient, name: string, told: Told): Promise<void> {
  for (const type of [MUTATING, VALIDATING]) {
    const gone = await removed(client.delete(type, { name }));
    await told(`${type.plural} ${name}: ${gone ? 'removed' : 'was not there'}`);
  }
}

async function removeLabels(client: KubeClient, told: Told, signal: AbortSignal): Promise<void> {
  let count = 0;
  for await (const { objects } of client.list(NODES, {}, signal)) {
    for (const { metadata } of objects) {
      const labels = labelPatch(metadata.labels ?? {}, {});
      if (labels === undefined) continue;
      const change = { kind: 'merge', patch: { metadata: { labels } } } as const;
      if (await removed(client.patch(NODES, { name: metadata.name }, change, { signal }))) count++;
    }
  }
  await told(`nodes: labels removed from ${count}`);
}

async function removeSlices(client: KubeClient, told: Told, signal: AbortSignal): Promise<void> {
  let count = 0;
  const selection = { fieldSelector: `spec.driver=${DRA_DRIVER}` };
  for (const { metadata } of await slicesOf(client, selection, signal))
    if (await removed(client.delete(RESOURCE_SLICE, { name: metadata.name }, { signal }))) count++;
  await told(`resourceslices of ${DRA_DRIVER}: removed ${count}`);
}

/** None where the cluster has no DRA. */
async function slicesOf(client: KubeClient, selection: { fieldSelector: string }, signal: AbortSignal) {
  try {
    return await client.listAll(RESOURCE_SLICE, selection, signal);
  } catch (error) {
    if (isKubeError(error, 'KUBE_NOT_FOUND')) return [];
    throw error;
  }
}

/** @returns false where it was gone already */
async function removed(request: Promise<unknown>): Promise<boolean> {
  try {
    await request;
    return true;
  } catch (error) {
    if (isKubeError(error, 'KUBE_NOT_FOUND')) return false;
    throw error;
  }
}
