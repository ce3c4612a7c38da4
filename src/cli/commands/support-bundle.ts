import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { stringify } from 'yaml';

import type { KubeClient } from '../../cluster/kube-client.js';
import { isKubeError } from '../../cluster/kube-error.js';
import { type KubeObject, objectPath } from '../../cluster/resource.js';
import { errnoOf, ExitStatus, messageOf, VsmmuError } from '../../errors.js';
import { openHost } from '../../host/open-host.js';
import { recordHost } from '../../host/record.js';
import type { CliIo } from '../io.js';
import { clusterClient, type ClusterOptions } from '../kubeconfig.js';
import { containersOf, type Fact, FACTS, PODS } from '../support/facts.js';
import { version } from '../version.js';
import { write } from '../write.js';

export interface SupportBundleOptions extends ClusterOptions {
  /** Record this machine too. */
  readonly thisHost: boolean;
  /** May its idle devices be bound, which resets them? */
  readonly bind: boolean;
  /** Of each container's log. */
  readonly logLines: number;
}

/** What became of each part: the first file to read of a bundle. */
interface Part {
  readonly file: string;
  readonly what: string;
}

/**
 * `vsmmu support-bundle DIR`: what a ticket needs, as files that a person can look through before they are given away.
 * What cannot be read is told and costs nothing else.
 *
 * @returns findings where a part is missing
 */
export async function runSupportBundle(
  dir: string,
  options: SupportBundleOptions,
  io: CliIo,
): Promise<ExitStatus> {
  const { signal } = io;
  await makeEmpty(dir);
  const parts: Part[] = [];
  const missing: Part[] = [];
  const collect = async (file: string, make: () => Promise<string>) => {
    await write(io.stderr, `${file}\n`);
    try {
      parts.push({ file, what: await make() });
    } catch (error) {
      if (signal.aborted) throw error;
      missing.push({ file, what: messageOf(error) });
      await write(io.stderr, `  missing: ${messageOf(error)}\n`);
    }
  };
  const client = await clusterClient(options, io);
  try {
    for (const fact of FACTS) await collect(`${fact.name}.yaml`, () => writeFact(client, fact, dir, signal));
    await collect('logs', () => writeLogs(client, options.logLines, dir, signal));
  } finally {
    client.close();
  }
  if (options.thisHost) await collect('host', () => recordThisHost(join(dir, 'host'), options.bind, signal));
  await writeFile(
    join(dir, 'bundle.json'),
    `${JSON.stringify({ format: 1, version, parts, missing }, null, 2)}\n`,
  );
  await write(io.stdout, `${dir}\n`);
  await write(
    io.stderr,
    'No Secret was read. Names of nodes, namespaces and VMs are in it: look it through before you give it away.\n',
  );
  return missing.length === 0 ? ExitStatus.ok : ExitStatus.findings;
}

/** Files of another bundle would be taken for this one's. @throws VsmmuError USAGE */
async function makeEmpty(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
    if ((await readdir(dir)).length === 0) return;
  } catch (cause) {
    throw refused(dir, `it cannot be made (${errnoOf(cause) ?? messageOf(cause)})`, cause);
  }
  throw refused(dir, 'it is not empty');
}

function refused(place: string, message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('USAGE', message, {
    place,
    remedy: 'Name a folder that is empty or not there yet.',
    cause,
    exitStatus: ExitStatus.usage,
  });
}

async function writeFact(client: KubeClient, fact: Fact, dir: string, signal: AbortSignal): Promise<string> {
  const { labelSelector } = fact;
  let objects: KubeObject[];
  try {
    objects = await client.listAll(fact.type, labelSelector === undefined ? {} : { labelSelector }, signal);
  } catch (error) {
    if (!isKubeError(error, 'KUBE_NOT_FOUND')) throw error;
    return 'the cluster does not have this kind';
  }
  const kept = objects.map(fact.cut).filter((object) => object !== undefined);
  // No shared references between objects, and no folding of long lines: for people and for grep.
  const text = kept
    .map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }))
    .join('---\n');
  await writeFile(join(dir, `${fact.name}.yaml`), text);
  return `${kept.length} of ${objects.length} objects`;
}

async function writeLogs(
  client: KubeClient,
  lines: number,
  dir: string,
  signal: AbortSignal,
): Promise<string> {
  const pods = await client.listAll(PODS, { labelSelector: 'app.kubernetes.io/part-of=vsmmu' }, signal);
  await mkdir(join(dir, 'logs'));
  const failures: string[] = [];
  let count = 0;
  for (const pod of pods) {
    for (const container of containersOf(pod)) {
      const query = new URLSearchParams({ container, tailLines: `${lines}`, timestamps: 'true' });
      const path = `${objectPath(PODS, pod.metadata, 'log')}?${query.toString()}`;
      const file = `${pod.metadata.namespace ?? ''}_${pod.metadata.name}_${container}.log`;
      try {
        await writeFile(join(dir, 'logs', file), await client.requestText({ method: 'GET', path }, signal));
        count++;
      } catch (error) {
        // A container that has not run yet has no log; that explains itself in pods.yaml.
        failures.push(`${file}: ${messageOf(error)}`);
      }
    }
  }
  if (failures.length > 0) await writeFile(join(dir, 'logs', 'missing.txt'), `${failures.join('\n')}\n`);
  return `${count} logs of ${pods.length} pods, ${failures.length} missing`;
}

async function recordThisHost(dir: string, bind: boolean, signal: AbortSignal): Promise<string> {
  const source = await openHost({ host: undefined, bind });
  try {
    const { report } = await recordHost(source, dir, signal);
    return `${report.devices.length} functions, ${report.smmus.length} SMMUs`;
  } finally {
    await source.close();
  }
}
