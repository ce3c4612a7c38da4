import { parseAllDocuments } from 'yaml';

import { describeNode } from '../cluster/describe-node.js';
import { parseNodeProfile } from '../cluster/node-profile.js';
import { type KubeObject, parseObject } from '../cluster/resource.js';
import { VsmmuError } from '../errors.js';
import { type BaselineStatus, parseBaseline } from '../fleet/baseline-object.js';
import { keepBaseline } from '../fleet/keep-baseline.js';
import { type Labels, selects } from '../fleet/label-selector.js';
import { parsePolicy } from '../fleet/policy.js';
import { baselineHostOf } from '../fleet/profile-host.js';
import { publishedStatus } from '../fleet/published-status.js';
import type { FleetNode, FleetView } from '../fleet/view.js';
import { probe } from './host.js';
import { readInput } from './input.js';
import type { CliIo } from './io.js';
import { namedHosts } from './named-hosts.js';

export interface OfflineOptions {
  /** Recordings, one a node. */
  readonly hosts: readonly string[];
  /** YAML or JSON files with Policy, Baseline, Namespace and Node objects. */
  readonly objects: readonly string[];
}

/** A fleet made of recordings and files: what a cluster would know, without one. */
export async function offlineFleet({ hosts, objects }: OfflineOptions, io: CliIo): Promise<FleetView> {
  const files = (await Promise.all(objects.map((file) => readObjects(file, io)))).flat();
  const ofKind = (kind: string) => files.filter((object) => object['kind'] === kind);
  const nodeLabels = labelsByName(ofKind('Node'));
  const nodes: FleetNode[] = [];
  for (const [name, dir] of namedHosts(hosts)) {
    const spec = describeNode(await probe(dir, io), name);
    const profile = parseNodeProfile({ metadata: { name }, spec });
    nodes.push({ profile, spec, labels: nodeLabels.get(name) ?? {} });
  }
  return {
    nodes,
    policies: ofKind('Policy').map(parsePolicy),
    baselines: new Map(ofKind('Baseline').map((object) => offlineBaseline(object, nodes))),
    namespaces: labelsByName(ofKind('Namespace')),
  };
}

/** Made of the recordings; a node without labels is taken by an empty selector only. */
function offlineBaseline(object: KubeObject, nodes: readonly FleetNode[]): [string, BaselineStatus] {
  const { name, nodes: selector } = parseBaseline(object);
  const selected = nodes.filter(({ labels }) => selects(selector, labels));
  const kept = keepBaseline(
    selected.map(({ profile }) => baselineHostOf(profile)),
    { published: undefined, bound: [], holdBack: true },
  );
  return [name, { ...publishedStatus(kept), conditions: [] }];
}

function labelsByName(objects: readonly KubeObject[]): Map<string, Labels> {
  return new Map(objects.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
}

/** All documents of a YAML or JSON file. @throws VsmmuError UNREADABLE_FILE with line and column */
export async function readObjects(file: string, io: CliIo): Promise<KubeObject[]> {
  return (await readDocuments(file, io)).map((document, index) => {
    const object = parseObject(document);
    if (object === undefined)
      throw new VsmmuError('UNREADABLE_FILE', `document ${index + 1} is no Kubernetes object`, {
        place: file,
        remedy: 'Give objects with kind and metadata.name.',
      });
    return object;
  });
}

/** Plain data of all documents; empty ones are left out. */
export async function readDocuments(file: string, io: CliIo): Promise<unknown[]> {
  // As Kubernetes reads YAML: a bare on or no is a boolean, and refused where a text is wanted.
  const documents = parseAllDocuments(await readInput(file, io), { version: '1.1' });
  return [...documents].flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) {
      const [start] = error.linePos ?? [];
      throw new VsmmuError('UNREADABLE_FILE', error.message.split('\n', 1)[0] ?? 'no YAML', {
        place: start === undefined ? file : `${file}:${start.line}:${start.col}`,
        remedy: 'Correct the YAML.',
      });
    }
    const data: unknown = document.toJS();
    return data === null ? [] : [data];
  });
}
