import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import * as z from 'zod';

import { WEBHOOK_METRICS } from '../src/admission/metrics.js';
import { webhookRegistrations } from '../src/admission/registration.js';
import { agentPolicy } from '../src/cluster/agent-policy.js';
import { createProgram } from '../src/cli/program.js';
import { CONTROLLER_METRICS } from '../src/cli/controller-endpoint.js';
import { METRICS } from '../src/kubelet/metrics.js';
import type { MetricDefinition } from '../src/metrics/metrics.js';
import { withHookSidecar } from '../src/kubevirt/hook-sidecars.js';
import { capturedIo } from './captured-io.js';
import {
  at,
  CHART,
  helmRuns,
  objectOf,
  renderChart,
  renderObjects,
  runHelm,
  type KubeObject,
  type RenderOptions,
} from './helm.js';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const CERT_MANAGER = ['cert-manager.io/v1'];
const PRESETS = ['vsmmu.io/v1alpha1/Policy'];

/** Sets of values that people install with; each must render, and its objects keep every rule below. */
const VALUE_SETS = z
  .record(
    z.string(),
    z.strictObject({
      set: z.array(z.string()).optional(),
      values: z.unknown().optional(),
      apiVersions: z.array(z.string()).optional(),
      kubeVersion: z.string().optional(),
      release: z.string().optional(),
      namespace: z.string().optional(),
    }),
  )
  .parse(JSON.parse(readFileSync('test/fixtures/chart/value-sets.json', 'utf8')));

const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()),
  securityContext: z.looseObject({
    privileged: z.boolean().optional(),
    allowPrivilegeEscalation: z.boolean().optional(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z
      .looseObject({ drop: z.array(z.string()), add: z.array(z.string()).optional() })
      .optional(),
  }),
  volumeMounts: z
    .array(z.looseObject({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() }))
    .optional(),
});
const podSpec = z.looseObject({
  automountServiceAccountToken: z.boolean(),
  hostNetwork: z.boolean().optional(),
  hostPID: z.boolean().optional(),
  securityContext: z.looseObject({
    runAsNonRoot: z.boolean().optional(),
    seccompProfile: z.looseObject({ type: z.string() }),
  }),
  initContainers: z.array(container).optional(),
  containers: z.array(container),
  volumes: z
    .array(z.looseObject({ name: z.string(), hostPath: z.looseObject({ path: z.string() }).optional() }))
    .optional(),
});
type PodSpec = z.output<typeof podSpec>;

function podSpecOf(object: KubeObject): PodSpec {
  return podSpec.parse(at(object, object.kind === 'Pod' ? 'spec' : 'spec.template.spec'));
}

function podsOf(objects: readonly KubeObject[]): { readonly of: string; readonly pod: PodSpec }[] {
  return objects
    .filter(({ kind }) => ['Deployment', 'DaemonSet', 'Job', 'Pod'].includes(kind))
    .map((object) => ({ of: object.metadata.name, pod: podSpecOf(object) }));
}

const containersOf = (pod: PodSpec) => [...(pod.initContainers ?? []), ...pod.containers];

const onHelm = helmRuns ? describe : describe.skip;

onHelm('the chart (needs Helm for x86-64 Linux)', () => {
  test('passes helm lint --strict', () => {
    const { status, stdout } = runHelm('lint', '--strict', CHART);
    expect({ status, stdout }).toMatchObject({ status: 0 });
  });

  describe.each(Object.entries(VALUE_SETS))('with values for: %s', (_name, options: RenderOptions) => {
    let objects: KubeObject[] = [];
    beforeAll(() => {
      objects = renderObjects(options);
    });
    const own = () => objects.filter(({ metadata }) => !/-(extra|text)$/.test(metadata.name));

    test('labels every object as Kubernetes recommends', () => {
      expect(own().length).toBeGreaterThan(2);
      for (const { kind, metadata } of own()) {
        expect({ kind, labels: metadata.labels }).toMatchObject({
          labels: {
            'app.kubernetes.io/name': expect.any(String),
            'app.kubernetes.io/instance': options.release ?? 'vsmmu',
            'app.kubernetes.io/component': expect.any(String),
            'app.kubernetes.io/version': expect.any(String),
            'app.kubernetes.io/part-of': 'vsmmu',
            'app.kubernetes.io/managed-by': 'Helm',
            'helm.sh/chart': expect.stringMatching(/^vsmmu-\d/),
          },
        });
      }
    });

    test('names what it names in texts that a Service can have, with room for what follows', () => {
      for (const { kind, metadata } of objects) {
        const { name, namespace = 'ns', labels = {} } = metadata;
        for (const text of [name, namespace, ...Object.values(labels)]) expect(typeof text).toBe('string');
        if (!['CustomResourceDefinition', 'DeviceClass'].includes(kind))
          expect(name).toMatch(/^[a-z][-a-z0-9]*[a-z0-9]$/);
        if (['DaemonSet', 'Deployment', 'Service', 'Job'].includes(kind))
          expect(name.length).toBeLessThanOrEqual(63);
      }
    });

    test('names no two objects alike', () => {
      const names = objects.map(
        ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''} ${metadata.name}`,
      );
      expect(new Set(names).size).toBe(names.length);
    });

    test('runs every container but the reader without privilege, capabilities, a writable root or a token', () => {
      for (const { of, pod } of podsOf(objects)) {
        expect({ of, pod }).toMatchObject({
          pod: {
            automountServiceAccountToken: false,
            securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
          },
        });
        expect(pod.hostNetwork ?? pod.hostPID ?? false).toBe(false);
        for (const { args, securityContext } of containersOf(pod)) {
          if (args[0] === 'reader') {
            expect(securityContext).toEqual({ privileged: true, readOnlyRootFilesystem: true });
            continue;
          }
          expect(securityContext).toMatchObject({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
          expect(securityContext.privileged).toBeUndefined();
          expect(securityContext.capabilities?.add).toBeUndefined();
        }
      }
    });

    test('gives every container only arguments that the program has', () => {
      for (const { pod } of podsOf(objects)) {
        for (const { args, command } of containersOf(pod))
          if (command === undefined) expect(unknownArguments(args)).toEqual([]);
      }
    });

    test('mounts nothing of the node but the folders that the README lists', () => {
      const readme = readFileSync(join(CHART, 'README.md'), 'utf8');
      const listed = [...readme.matchAll(/^\| `(\/[^`]*)` \|/gm)].map(([, path]) => path);
      for (const { pod } of podsOf(objects)) {
        for (const { hostPath } of pod.volumes ?? [])
          if (hostPath !== undefined) expect(listed).toContain(hostPath.path);
      }
    });

    test('asks for no right that reaches too far', () => {
      for (const right of rightsOf(objects))
        expect(right).not.toMatch(
          /\*|secrets [a-z,]*(list|watch)|secrets [a-z,]+ in|nodes [a-z,]*(update|create|delete)/,
        );
    });

    test('mounts a token, of an hour, where rights are bound and nowhere else', () => {
      const bound = new Set(rightsOf(objects).map((right) => right.split(' ')[0]));
      for (const { of, pod } of podsOf(objects)) {
        const part = partOf(of);
        const mounting = containersOf(pod).filter(({ volumeMounts = [] }) =>
          volumeMounts.some(({ mountPath }) => mountPath === '/var/run/secrets/kubernetes.io/serviceaccount'),
        );
        expect({ of, mounting: mounting.map(({ name }) => name) }).toEqual({
          of,
          mounting: bound.has(part) ? [CONTAINERS[part] ?? part] : [],
        });
      }
    });
  });

  test.each(['webhook', 'controller'])('keeps the %s to the Pod Security Standard "restricted"', (part) => {
    const pod = podSpecOf(objectOf(renderObjects(), 'Deployment', `vsmmu-${part}`));
    expect(pod).toMatchObject({ securityContext: { runAsNonRoot: true, runAsUser: 65532 } });
    expect((pod.volumes ?? []).flatMap((volume) => Object.keys(volume)).sort()).toEqual([
      'name',
      'projected',
    ]);
  });

  test('grants exactly the rights of the golden file', () => {
    const rights = rightsOf(renderObjects());
    // To accept a change, write it there and say why in docs/security.md.
    expect(rights).toEqual(readFileSync('test/fixtures/chart/rights.txt', 'utf8').trimEnd().split('\n'));
    expect(readFileSync('docs/security.md', 'utf8')).toEqual(
      expect.stringContaining('test/fixtures/chart/rights.txt'),
    );
  });

  test.each([false, true])('registers the webhook as src/admission/registration.ts says, DRA: %s', (dra) => {
    const objects = renderObjects({
      namespace: 'ns',
      set: [
        'webhook.deviceResources={vsmmu.io/,example.org/gpu}',
        `agent.dra.enabled=${dra}`,
        `image.digest=${DIGEST}`,
        'hook.args={--spelling=both}',
      ],
      apiVersions: ['resource.k8s.io/v1'],
    });
    const expected = webhookRegistrations({
      name: 'vsmmu-ns-webhook',
      resources: ['vsmmu.io/', 'example.org/gpu'],
      claims: dra,
      onlyOurHook: withHookSidecar(undefined, {
        image: `vsmmu@${DIGEST}`,
        imagePullPolicy: 'IfNotPresent',
        args: ['--spelling=both'],
      }),
      excludedNamespaces: ['kube-system', 'ns'],
      clientConfig: (path) => ({ service: { name: 'vsmmu-webhook', namespace: 'ns', path, port: 443 } }),
    });
    for (const [kind, { webhooks }] of [
      ['MutatingWebhookConfiguration', expected.mutating],
      ['ValidatingWebhookConfiguration', expected.validating],
    ] as const)
      expect(objectOf(objects, kind, 'vsmmu-ns-webhook')['webhooks']).toEqual(webhooks);
  });

  test('binds agents to their own node as src/cluster/agent-policy.ts says', () => {
    const objects = renderObjects();
    const name = 'vsmmu-own-profile-only';
    const { policy, binding } = agentPolicy({ name, namespace: 'vsmmu', serviceAccount: 'vsmmu-agent' });
    expect(objectOf(objects, 'ValidatingAdmissionPolicy', name)['spec']).toEqual(policy.spec);
    expect(objectOf(objects, 'ValidatingAdmissionPolicyBinding', name)['spec']).toEqual(binding.spec);
  });

  test.each([
    [true, 'keep'],
    [false, undefined],
  ])('with crds.keep=%s, helm uninstall leaves CRDs: %s', (keep, policy) => {
    const crds = renderObjects({ set: [`crds.keep=${keep}`] }).filter(
      ({ kind }) => kind === 'CustomResourceDefinition',
    );
    expect(crds.map(({ metadata }) => metadata.name).sort()).toEqual([
      'baselines.vsmmu.io',
      'nodeprofiles.vsmmu.io',
      'policies.vsmmu.io',
    ]);
    for (const { metadata } of crds) expect(metadata.annotations?.['helm.sh/resource-policy']).toBe(policy);
  });

  describe('what watches it', () => {
    const text = (kind: string, name?: string) =>
      JSON.stringify(objectOf(renderObjects(VALUE_SETS['everything on']), kind, name));
    const metrics = new Set(
      [METRICS, WEBHOOK_METRICS, CONTROLLER_METRICS].flatMap((table) => Object.keys(table)),
    );
    test.each([
      ['alerts', 'PrometheusRule', undefined],
      ['dashboard', 'ConfigMap', 'vsmmu-dashboard'],
    ])('the %s names metrics that there are', (_what, kind, name) => {
      const named = text(kind, name).match(/vsmmu_[a-z_]+/g) ?? [];
      expect(named.length).toBeGreaterThan(10);
      for (const metric of named) expect(metrics).toContain(metric.replace(/_(bucket|count|sum)$/, ''));
    });

    test('what an alert counts is there with 0 from the start, or its first event would go unseen', () => {
      const definitions: Readonly<Record<string, MetricDefinition>> = {
        ...METRICS,
        ...WEBHOOK_METRICS,
        ...CONTROLLER_METRICS,
      };
      const counted = [
        ...text('PrometheusRule').matchAll(/increase\((vsmmu_[a-z_]+)\{[^}]*outcome=\\"(\w+)/g),
      ];
      expect(counted.length).toBeGreaterThanOrEqual(4);
      for (const [, name = '', outcome] of counted) {
        const { from = [] } = definitions[name.replace(/_count$/, '')] ?? {};
        expect([name, from.map((values) => values.at(-1))]).toEqual([
          name,
          expect.arrayContaining([outcome]),
        ]);
      }
    });

    test('every alert has its section in docs/alerts.md', () => {
      const page = readFileSync('docs/alerts.md', 'utf8');
      const rule = objectOf(renderObjects(VALUE_SETS['everything on']), 'PrometheusRule');
      const alerts = z
        .array(z.looseObject({ alert: z.string(), annotations: z.looseObject({ runbook: z.string() }) }))
        .parse(at(rule, 'spec.groups.0.rules'));
      for (const { alert, annotations } of alerts) {
        expect(page).toContain(`\n## ${alert}\n`);
        expect(annotations.runbook).toBe(`docs/alerts.md#${alert.toLowerCase()}`);
      }
      expect(page.match(/^## Vsmmu/gm)).toHaveLength(alerts.length);
    });

    test('alerts only about parts that are installed', () => {
      const options = { ...VALUE_SETS['everything on'], values: undefined };
      const rule = objectOf(
        renderObjects({
          ...options,
          set: [
            'monitoring.prometheusRule.enabled=true',
            'webhook.enabled=false',
            'controller.enabled=false',
          ],
        }),
        'PrometheusRule',
      );
      expect(JSON.stringify(rule)).not.toMatch(/vsmmu_(webhook|controller)/);
    });

    test('the dashboard’s panels have names of their own and do not overlap', () => {
      const panel = z.looseObject({
        id: z.number(),
        gridPos: z.strictObject({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
      });
      const { panels } = z
        .looseObject({ panels: z.array(panel).min(10) })
        .parse(JSON.parse(readFileSync(join(CHART, 'files', 'dashboard.json'), 'utf8')));
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
      );
      expect(new Set(cells).size).toBe(cells.length);
    });
  });

  describe('what is left behind', () => {
    test('webhook configurations go first, labels and slices last, each by an account for that alone', () => {
      const objects = renderObjects(VALUE_SETS['everything on']);
      const args = (name: string) => podSpecOf(objectOf(objects, 'Job', name)).containers[0]?.args;
      expect(args('vsmmu-pre-delete')).toEqual(['cleanup', '--webhook-configuration=vsmmu-webhook']);
      expect(args('vsmmu-post-delete')).toEqual(['cleanup', '--node-labels', '--resource-slices']);
      for (const { kind, metadata } of objects.filter(({ metadata }) =>
        /-(pre|post)-delete$/.test(metadata.name),
      ))
        expect({ kind, hook: metadata.annotations?.['helm.sh/hook'] }).toEqual({
          kind,
          hook: metadata.name.replace(/^vsmmu-/, ''),
        });
    });

    test('nothing is cleaned up that was not installed', () => {
      const jobs = (...set: string[]) =>
        renderObjects({ set })
          .filter(({ kind }) => kind === 'Job')
          .map(({ metadata }) => metadata.name);
      expect(jobs().toSorted()).toEqual(['vsmmu-post-delete', 'vsmmu-pre-delete']);
      expect(jobs('webhook.enabled=false')).toEqual(['vsmmu-post-delete']);
      expect(jobs('controller.enabled=false')).toEqual(['vsmmu-pre-delete']);
      expect(jobs('cleanup.enabled=false')).toEqual([]);
    });
  });

  test('runs no privileged container where the reader is switched off', () => {
    const pod = podSpecOf(objectOf(renderObjects({ set: ['agent.reader.enabled=false'] }), 'DaemonSet'));
    expect(containersOf(pod).map(({ name }) => name)).toEqual(['agent']);
    expect(pod.volumes?.flatMap(({ hostPath }) => hostPath?.path ?? [])).not.toContain('/sys');
  });

  test('lets the agent write to its kubelet’s folders only', () => {
    const { containers } = podSpecOf(objectOf(renderObjects({ set: ['agent.iommufd=auto'] }), 'DaemonSet'));
    const agent = containers.find(({ name }) => name === 'agent');
    const writable = (agent?.volumeMounts ?? []).filter(({ readOnly }) => readOnly !== true);
    expect(writable.map(({ mountPath }) => mountPath)).toEqual([
      '/var/lib/kubelet/device-plugins',
      '/var/lib/kubelet/plugins/vsmmu.io',
    ]);
  });

  test('two names that are too long stay two', () => {
    const release = 'r'.repeat(53);
    const clusterRoles = (namespace: string) =>
      renderObjects({ release, namespace })
        .filter(({ kind }) => kind === 'ClusterRole')
        .map(({ metadata }) => metadata.name);
    const [one, two] = [clusterRoles('one'), clusterRoles('two')];
    expect(one.length).toBeGreaterThan(0);
    expect(one.filter((name) => two.includes(name))).toEqual([]);
  });

  test('a released chart names its image by digest, and takes no other kind of hook', () => {
    const dir = mkdtempSync(join(tmpdir(), 'vsmmu-release-'));
    try {
      const chart = join(dir, 'vsmmu');
      const image = `registry.example.org/team/vsmmu@${DIGEST}`;
      execFileSync(process.execPath, ['scripts/chart/pin.mjs', chart, image]);
      expect(runHelm('lint', '--strict', chart).status).toBe(0);
      const webhook = podSpecOf(objectOf(renderObjects({ chart }), 'Deployment', 'vsmmu-webhook'));
      expect(webhook.containers[0]?.image).toBe(image);
      expect(webhook.containers[0]?.args).toContain(`--hook-image=${image}`);
      const { status, stderr } = renderChart({ chart, set: ['image.digest='] });
      expect(status).not.toBe(0);
      expect(stderr).toContain('has no digest');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  describe('images', () => {
    const image = (...set: string[]) =>
      podSpecOf(objectOf(renderObjects({ set: ['webhook.enabled=false', ...set] }), 'DaemonSet'))
        .containers[0]?.image;
    test.each([
      [[], 'vsmmu:0.1.0'],
      [['image.tag=v2'], 'vsmmu:v2'],
      [['image.tag=v2', `image.digest=${DIGEST}`], `vsmmu@${DIGEST}`],
      [['image.registry=r.example'], 'r.example/vsmmu:0.1.0'],
      [['image.registry=r.example', 'global.imageRegistry=g.example/'], 'g.example/vsmmu:0.1.0'],
    ] as const)('%j: %s', (set, expected) => {
      expect(image(...set)).toBe(expected);
    });

    test('the hook has the image of the rest, or its own', () => {
      const hook = (...set: string[]) =>
        podSpecOf(objectOf(renderObjects({ set }), 'Deployment', 'vsmmu-webhook')).containers[0]?.args.find(
          (arg) => arg.startsWith('--hook-image='),
        );
      expect(hook(`image.digest=${DIGEST}`)).toBe(`--hook-image=vsmmu@${DIGEST}`);
      expect(hook('hook.image.repository=h', 'hook.image.tag=v3', 'global.imageRegistry=g')).toBe(
        '--hook-image=g/h:v3',
      );
    });
  });

  describe('refuses', () => {
    test.each<[string, RenderOptions, RegExp]>([
      ['tag latest', { set: ['image.tag=latest'] }, /image\.tag: "latest"/],
      [
        'tag latest of the hook',
        { set: ['hook.image.repository=h', 'hook.image.tag=latest'] },
        /hook\.image\.tag: "latest"/,
      ],
      ['no image', { set: ['image.repository='] }, /image\.repository is empty/],
      [
        'a hook digest without its repository',
        { set: [`hook.image.digest=${DIGEST}`] },
        /hook\.image\.repository is empty/,
      ],
      [
        'nothing to install',
        { set: ['agent.enabled=false', 'webhook.enabled=false', 'controller.enabled=false'] },
        /nothing is left/,
      ],
      ['existing without a Secret', { set: ['webhook.certificates.mode=existing'] }, /secretName must name/],
      [
        'existing without a CA',
        { set: ['webhook.certificates.mode=existing', 'webhook.certificates.secretName=s'] },
        /caBundle must hold/,
      ],
      ['a Secret without existing', { set: ['webhook.certificates.secretName=s'] }, /for mode existing only/],
      [
        'an issuer without cert-manager',
        { set: ['webhook.certificates.issuerRef.name=s'] },
        /for mode cert-manager only/,
      ],
      [
        'cert-manager that is not there',
        { set: ['webhook.certificates.mode=cert-manager'] },
        /install cert-manager first/,
      ],
      [
        'a webhook that serves nobody',
        { values: { webhook: { deviceResources: [] } } },
        /would serve nobody/,
      ],
      [
        'a drain that cannot end',
        { set: ['webhook.podDisruptionBudget.maxUnavailable=0'] },
        /lets no node be drained/,
      ],
      [
        'death while serving',
        { set: ['webhook.terminationGracePeriodSeconds=10'] },
        /killed while they serve/,
      ],
      [
        'monitoring without its operator',
        { set: ['monitoring.podMonitor.enabled=true'] },
        /monitoring\.coreos\.com/,
      ],
      [
        'a webhook without profiles',
        { set: ['agent.profile.enabled=false'] },
        /needs agent\.profile\.enabled/,
      ],
      [
        'a hook image without a digest, where one is required',
        { set: ['hook.requireDigest=true'] },
        /vsmmu:0\.1\.0 has no digest/,
      ],
      [
        'a preset of policies before their CRD',
        { set: ['policyPresets.portable=true'] },
        /needs the CRD of Policy/,
      ],
      [
        'a preset of policies that nobody applies',
        { set: ['policyPresets.portable=true', 'webhook.policies=false'], apiVersions: PRESETS },
        /it is the webhook that applies policies/,
      ],
      [
        'a policy for an API server without policies',
        { set: ['policies.onlyOurHook.enabled=true'], kubeVersion: '1.29.9' },
        /needs Kubernetes 1\.30/,
      ],
      [
        'a policy without the webhook',
        { set: ['policies.onlyOurHook.enabled=true', 'webhook.enabled=false'] },
        /needs webhook\.enabled/,
      ],
      ['Kubernetes 1.27', { kubeVersion: '1.27.9' }, />=1\.28/],
      ['a digest that is none', { set: ['image.digest=sha256:abc'] }, /image\.digest/],
      ['an argument that would break out of CEL', { values: { hook: { args: ["'+x"] } } }, /hook\.args/],
    ])('%s', (_name, options, message) => {
      const { status, stderr } = renderChart(options);
      expect(status).not.toBe(0);
      expect(stderr).toMatch(message);
    });

    const schema = z.looseObject({ properties: z.record(z.string(), z.unknown()).optional() });
    const closed = (node: unknown, path: string[] = []): string[][] => {
      const { properties = {} } = schema.parse(node);
      const below = Object.entries(properties)
        .filter(([, child]) => schema.parse(child).properties !== undefined)
        .flatMap(([name, child]) => closed(child, [...path, name]));
      return path[0] === 'global' ? below : [path, ...below];
    };
    const paths = closed(JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')));
    test.each(paths.map((path) => [path.join('.') || 'the top level', path] as const))(
      'an unknown value in %s',
      (_name, path) => {
        const values = path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), { misspelt: true });
        const { status, stderr } = renderChart({ values });
        expect(status).not.toBe(0);
        expect(stderr).toContain('misspelt');
      },
    );
  });

  test('uses every value: another one renders something else', () => {
    const base: RenderOptions = {
      apiVersions: [...CERT_MANAGER, ...PRESETS, 'monitoring.coreos.com/v1', 'resource.k8s.io/v1'],
      values: {
        // Rendering them takes longer than all the rest.
        crds: { install: false },
        agent: { iommufd: 'auto', dra: { enabled: true } },
        monitoring: {
          podMonitor: { enabled: true },
          serviceMonitor: { enabled: true },
          prometheusRule: { enabled: true },
          dashboard: { enabled: true },
        },
        webhook: { certificates: { mode: 'existing', secretName: 'mine', caBundle: PEM } },
        hook: { image: { repository: 'hook' } },
        policies: { onlyOurHook: { enabled: true } },
        resourceQuota: { enabled: true },
      },
    };
    const before = renderWithNotes(base);
    const unused = leaves(parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')))
      // They matter to one mode of certificates only, and have their own tests.
      .filter(
        ({ path }) =>
          !/^(crds\.keep|agent\.cdi\.enabled|webhook\.certificates\.(mode|issuerRef))$/.test(path.join('.')),
      )
      // What a part refers to must exist, so creating it or not is tested with the name.
      .filter(({ path, value }) => rendersOrRefuses(withValue(base, path, another(path, value))) === before)
      .map(({ path }) => path.join('.'));
    expect(unused).toEqual([]);
  }, 180_000);

  test('the policy expects exactly the annotation that the webhook writes', () => {
    const objects = renderObjects({
      set: [
        'policies.onlyOurHook.enabled=true',
        'hook.args={--target=both,--spelling=both}',
        `image.digest=${DIGEST}`,
      ],
    });
    const written = withHookSidecar(undefined, {
      image: `vsmmu@${DIGEST}`,
      imagePullPolicy: 'IfNotPresent',
      args: ['--target=both', '--spelling=both'],
    });
    const policy = objectOf(objects, 'ValidatingAdmissionPolicy', 'vsmmu-only-our-hook');
    // What may follow the fixed part is policies' arguments; the expression itself is asked in test/real/helm.
    const fixed = written.replace(/\]\}\]$/, '');
    expect(at(policy, 'spec.validations.0.expression')).toContain(`.startsWith(r'${fixed}')`);
    expect(at(policy, 'spec.validations.0.expression')).toContain(`.substring(${fixed.length})`);
  });

  test.each([
    ['with the webhook', [], '1.30.4-eks-3', true],
    ['without the webhook', ['webhook.enabled=false'], '1.36.0', false],
    ['switched off', ['policies.noForgedValues.enabled=false'], '1.36.0', false],
    ['in a cluster without such policies', [], '1.29.9', false],
  ])('refuses values that the webhook did not write: %s', (_name, set, kubeVersion, there) => {
    const policies = renderObjects({ set, kubeVersion }).filter(({ metadata }) =>
      metadata.name.endsWith('-no-forged-values'),
    );
    expect(policies.map(({ kind }) => kind)).toEqual(
      there ? ['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'] : [],
    );
  });

  test('looks for such values wherever the webhook is asked, and nowhere else', () => {
    const values = { webhook: { namespaceSelector: { matchLabels: { vms: 'yes' } } } };
    const objects = renderObjects({ values });
    expect(
      at(
        objectOf(objects, 'ValidatingAdmissionPolicy', 'vsmmu-no-forged-values'),
        'spec.matchConstraints.namespaceSelector',
      ),
    ).toEqual(at(objectOf(objects, 'MutatingWebhookConfiguration'), 'webhooks.0.namespaceSelector'));
  });

  test('never sends its own namespace or kube-system to the webhook', () => {
    const webhook = at(
      objectOf(
        renderObjects({
          values: {
            webhook: { namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] } },
          },
        }),
        'MutatingWebhookConfiguration',
      ),
      'webhooks.0',
    );
    expect(at(webhook, 'namespaceSelector.matchExpressions')).toEqual([
      { key: 'a', operator: 'Exists' },
      { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system', 'vsmmu'] },
    ]);
  });

  describe('the notes', () => {
    test('warn of what is risky', () => {
      const notes = renderWithNotes({ set: ['webhook.replicas=1', 'webhook.failurePolicy=Ignore'] });
      for (const warning of [
        /names no registry/,
        /not pinned by digest/,
        /one webhook pod/,
        /failurePolicy Ignore/,
        /own-profile-only/,
      ])
        expect(notes).toMatch(warning);
    });

    test('warn of nothing where nothing is risky', () => {
      const notes = renderWithNotes({
        set: ['image.registry=r.example', `image.digest=${DIGEST}`],
      });
      expect(notes).not.toContain('WARNING');
      expect(notes).toContain(
        'kubectl delete mutatingwebhookconfiguration,validatingwebhookconfiguration vsmmu-webhook',
      );
    });
  });
});

/** "vsmmu-agent" is the agent, whatever the release is called. */
function partOf(name: string): string {
  return (
    /(test-agents|test-webhook|pre-delete|post-delete|agent|webhook|controller)$/.exec(name)?.[1] ?? name
  );
}

/** Where a part's container is not called as the part. */
const CONTAINERS: Readonly<Record<string, string>> = {
  'test-agents': 'test',
  'pre-delete': 'cleanup',
  'post-delete': 'cleanup',
};

const rule = z.strictObject({
  apiGroups: z.array(z.string()),
  resources: z.array(z.string()),
  resourceNames: z.array(z.string()).optional(),
  verbs: z.array(z.string()),
});
const binding = z.looseObject({
  metadata: z.looseObject({ namespace: z.string().optional() }),
  roleRef: z.looseObject({ kind: z.string(), name: z.string() }),
  subjects: z.tuple([z.looseObject({ name: z.string() })]),
});

/** "agent: nodeprofiles.vsmmu.io get,create,patch" for each right that a part has, one a line. */
function rightsOf(objects: readonly KubeObject[]): string[] {
  return objects
    .filter(({ kind }) => kind === 'ClusterRoleBinding' || kind === 'RoleBinding')
    .map((object) => binding.parse(object))
    .flatMap(({ metadata: { namespace }, roleRef, subjects: [subject] }) => {
      const role = objects.find(
        ({ kind, metadata }) =>
          kind === roleRef.kind && metadata.name === roleRef.name && metadata.namespace === namespace,
      );
      const part = partOf(subject.name);
      return z
        .array(rule)
        .parse(role?.['rules'])
        .flatMap(({ apiGroups, resources, resourceNames = [], verbs }) =>
          resources.map((resource) => {
            const what = [resource, ...apiGroups].filter(Boolean).join('.');
            const where = namespace === undefined ? '' : ` in ${namespace}`;
            const which = resourceNames.length === 0 ? '' : ` named ${resourceNames.join(',')}`;
            return `${part} ${what} ${verbs.join(',')}${which}${where}`;
          }),
        );
    })
    .sort();
}

/** A chart whose notes are an object too; `helm template` leaves notes out, and `helm install` wants a cluster. */
let notesChart = '';
beforeAll(() => {
  if (!helmRuns) return;
  notesChart = join(mkdtempSync(join(tmpdir(), 'vsmmu-chart-')), 'vsmmu');
  cpSync(CHART, notesChart, { recursive: true });
  const template =
    'notes: {{ include "vsmmu.notes" . | toJson }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n';
  writeFileSync(join(notesChart, 'templates', 'notes.yaml'), template);
});
afterAll(() => rmSync(join(notesChart, '..'), { recursive: true, force: true }));

function renderWithNotes(options: RenderOptions): string {
  const { status, stdout, stderr } = renderChart({ ...options, chart: notesChart });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

/** A combination that a guard refuses is made use of, too; one that the schema refuses is this test's mistake. */
function rendersOrRefuses(options: RenderOptions): string {
  const { status, stdout, stderr } = renderChart({ ...options, chart: notesChart });
  if (stderr.includes("don't meet the specifications")) throw new Error(stderr);
  return status === 0 ? stdout : stderr;
}

/** What of a container's arguments the command line does not have: commands, options, choices. */
function unknownArguments(args: readonly string[]): string[] {
  const [name = '', ...options] = args;
  const command = createProgram(capturedIo(), () => undefined).commands.find((one) => one.name() === name);
  if (command === undefined) return [name];
  const required = command.options.filter(
    ({ mandatory, long }) => mandatory && !options.some((text) => text.startsWith(`${long ?? ''}=`)),
  );
  return [
    ...required.map(({ long }) => `missing ${long ?? ''}`),
    ...options.filter((text) => {
      const [, flag, value] = /^(--[a-z-]+)(?:=(.*))?$/s.exec(text) ?? [];
      const option = command.options.find(({ long }) => long === flag);
      if (option === undefined) return true;
      if ((value === undefined) !== (option.isBoolean() || option.negate)) return true;
      return option.argChoices !== undefined && !option.argChoices.includes(value ?? '');
    }),
  ];
}

interface Leaf {
  readonly path: readonly string[];
  readonly value: unknown;
}

function leaves(value: unknown, path: readonly string[] = []): Leaf[] {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  const openMap = /(Labels|Annotations|annotations|nodeSelector|updateStrategy|resources)$/.test(
    path.join('.'),
  );
  if (!isMap || openMap || Object.keys(value).length === 0) return [{ path, value }];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

/** Values of some kind that the schema takes and that differ from the default. */
const OTHERS: Readonly<Record<string, unknown>> = {
  'image.digest': DIGEST,
  'hook.image.digest': DIGEST,
  'image.pullPolicy': 'Always',
  'hook.image.pullPolicy': 'Always',
  'agent.iommufd': 'never',
  'agent.logLevel': 'debug',
  'agent.logFormat': 'text',
  'agent.kubeletDir': '/var/k',
  'webhook.failurePolicy': 'Ignore',
  'webhook.tlsMinVersion': 'TLSv1.2',
  'webhook.deviceResources': ['example.org/'],
  'webhook.certificates.caBundle': `${PEM}\n`,
  'webhook.timeoutSeconds': 4,
  'webhook.podDisruptionBudget.maxUnavailable': 2,
  'agent.updateStrategy': { type: 'OnDelete' },
  'hook.args': ['--target=both'],
  'policies.onlyOurHook.enabled': false,
  'crds.install': true,
  'monitoring.podMonitor.enabled': false,
  'monitoring.podMonitor.interval': '5s',
  'monitoring.prometheusRule.enabled': false,
  'monitoring.serviceMonitor.enabled': false,
  'monitoring.serviceMonitor.interval': '5s',
  'monitoring.dashboard.enabled': false,
  'cleanup.enabled': false,
  'agent.config': { format: 1 },
  'agent.dra.enabled': false,
  'controller.logLevel': 'debug',
  'controller.logFormat': 'text',
  'controller.podDisruptionBudget.maxUnavailable': 2,
  'webhook.otherHooks': 'allow',
  apiServerPorts: [8443],
  'resourceQuota.enabled': false,
  extraObjects: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'more' } }],
};

function another(path: readonly string[], value: unknown): unknown {
  const own = OTHERS[path.join('.')];
  if (own !== undefined) return own;
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'string') return 'other';
  if (!Array.isArray(value)) return { 'example.org/other': 'true' };
  return path.at(-1)?.endsWith('Args') === true ? ['--log-level=debug'] : [{ name: 'other' }];
}

function withValue(options: RenderOptions, path: readonly string[], value: unknown): RenderOptions {
  const set = (node: unknown, [key = '', ...rest]: readonly string[]): unknown => ({
    ...z.record(z.string(), z.unknown()).parse(node ?? {}),
    [key]: rest.length === 0 ? value : set(z.record(z.string(), z.unknown()).parse(node ?? {})[key], rest),
  });
  return { ...options, values: set(options.values, path) };
}
