// Runs vsmmu's programs under churn and watches whether anything in them grows; run.mjs bundles and starts this.
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { featuresOf } from '../../src/host/features.js';
import { probeHost } from '../../src/host/probe.js';
import { openRecording } from '../../src/host/recording.js';
import { renderAnnotation } from '../../src/kubevirt/write-resolved.js';
import { HostTree, type FunctionOfHost } from '../kubelet-host.js';
import { KubeletPeer, until } from '../kubelet-peer.js';
import { ApiStore } from './api-store.js';
import {
  allocate,
  allThere,
  callHook,
  churnDevices,
  churnKubelet,
  repeat,
  Reviewer,
  scrape,
  Tally,
} from './churn.js';
import { Program, type ProgramSeries, type Surroundings } from './program.js';
import { judge, median, type Judged, type Limit } from './verdict.js';

const RESOURCE = 'vsmmu.io/10de-2941';
const DEVICES: readonly FunctionOfHost[] = Array.from({ length: 16 }, (_, n) => ({
  bdf: `${(n + 1).toString(16).padStart(4, '0')}:01:00.0`,
  group: n + 1,
  numa: n % 4,
}));
/** Shipped: 7 days and 180. At this pace a leaf is renewed every 40 s and an authority every 200 s. */
const LEAF_SECONDS = 60;
const CA_SECONDS = 300;
const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1';

const LIMITS: Readonly<Partial<Record<keyof ProgramSeries, Limit>>> = {
  // Requests under way when it is looked at hold up to 3 MiB of buffers.
  live: { what: 'live memory', unit: 'MiB', growth: 2 },
  anonymous: { what: 'anonymous memory', unit: 'MiB', growth: 4 },
  fds: { what: 'file descriptors', unit: '', growth: 4 },
  timers: { what: 'timers', unit: '', growth: 4 },
  handles: { what: 'other handles', unit: '', growth: 6 },
};

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    json: { type: 'string' },
    vsmmu: { type: 'string', default: 'dist/vsmmu.js' },
    inside: { type: 'string', default: 'test/soak/inside.cjs' },
  },
});
const minutes = Number(values.minutes);
if (!(minutes >= 0.5)) usage('--minutes: write a number of minutes, at least 0.5');
if (process.getuid?.() !== 0) usage('it needs root: each program gets a made-up host in a mount namespace');
process.exit(await soak());

async function soak(): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-soak-'));
  const sampleMs = Math.max(500, Math.min(5000, (minutes * 60_000) / 120));
  const store = await ApiStore.start();
  prepareCluster(store);
  mkdirSync(join(dir, 'account'));
  writeFileSync(join(dir, 'account/token'), 'soak');
  writeFileSync(join(dir, 'account/ca.crt'), store.wire.ca);
  writeFileSync(join(dir, 'account/namespace'), 'vsmmu-system');
  const tree = new HostTree(join(dir, 'host'), DEVICES);
  const kubelet = new KubeletPeer(join(dir, 'kubelet'));
  mkdirSync(join(kubelet.root, 'plugins_registry'), { recursive: true });
  await kubelet.start();
  await kubelet.servePodResources();
  const sockets = join(dir, 'hook');
  mkdirSync(sockets);
  const around: Surroundings = {
    dir,
    vsmmu: values.vsmmu,
    inside: values.inside,
    apiUrl: store.wire.url,
    sampleMs,
    // A collection a minute, or as often as a short run needs for a trend.
    collectEvery: Math.max(1, Math.round(Math.min(60_000, (minutes * 60_000) / 24) / sampleMs)),
  };
  const ports = { agent: await freePort(), controller: await freePort() };
  const programs = startAll(around, { dir, sockets, ports });
  const tally = new Tally();
  try {
    await until(() => ready(programs, kubelet, store));
    store.faultShare = 0.01;
    await churn({ programs, store, tree, kubelet, sockets, ports, sampleMs, tally });
    for (const { name, said, running } of Object.values(programs))
      if (!running) tally.fail(`${name} is not running any more: ${said}`);
    const measured = report(programs, tally, store);
    const exitStatuses = await stopAll(programs);
    return conclude({ ...measured, exitStatuses });
  } finally {
    await stopAll(programs);
    await kubelet.close();
    await store.wire.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

function stopAll(programs: Programs): Promise<(number | null)[]> {
  return Promise.all(Object.values(programs).map((program) => program.stop()));
}

/** @returns the exit status of the soak */
function conclude(measured: Omit<Result, 'verdict'>): number {
  const grown = Object.values(measured.programs).some(({ judged }) => judged.some(({ flat }) => !flat));
  const ended = measured.exitStatuses.every((status) => status === 0);
  const verdict = !grown && ended && measured.failures.length === 0 ? 'flat' : 'not flat';
  const result: Result = { verdict, ...measured };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
  print(result);
  return verdict === 'flat' ? 0 : 1;
}

type Name = 'agent' | 'reader' | 'webhook' | 'controller' | 'hook';
type Programs = Readonly<Record<Name, Program>>;

interface Places {
  readonly dir: string;
  readonly sockets: string;
  readonly ports: Readonly<Record<'agent' | 'controller', number>>;
}

/** Each as the chart starts it, but for the pace of rescans and certificates; the hook as the image does. */
function startAll(around: Surroundings, { dir, sockets, ports }: Places): Programs {
  const quiet = ['--log-level', 'error'];
  const http = (name: 'agent' | 'controller') => ['--http', `127.0.0.1:${ports[name]}`];
  const agent = [
    ...['agent', '--kubelet-dir', join(dir, 'kubelet'), '--state-dir', join(dir, 'state')],
    ...[
      '--cdi-dir',
      join(dir, 'cdi'),
      '--node-name',
      'node-1',
      '--dra',
      '--no-bind',
      '--rescan-seconds',
      '1',
    ],
    ...[...http('agent'), ...quiet],
  ];
  const webhook = [
    ...['webhook', '--listen', '127.0.0.1:0', '--certificate-name', '127.0.0.1'],
    ...['--cluster', '--policies', '--dra', '--shutdown-delay', '1'],
    ...['--ca-lifetime', String(CA_SECONDS), '--leaf-lifetime', String(LEAF_SECONDS), ...quiet],
  ];
  const controller = ['controller', '--namespace', 'vsmmu-system', ...http('controller'), ...quiet];
  const reader = ['reader', '--rescan-seconds', '1', ...quiet];
  return {
    agent: new Program('agent', { args: agent, semiSpaceMiB: 1 }, around),
    reader: new Program('reader', { args: reader, semiSpaceMiB: 1 }, around),
    webhook: new Program('webhook', { args: webhook, semiSpaceMiB: 2 }, around),
    controller: new Program('controller', { args: controller, semiSpaceMiB: 2 }, around),
    hook: new Program('hook', { args: ['hook', '--socket-dir', sockets], semiSpaceMiB: 1 }, around),
  };
}

function prepareCluster(store: ApiStore): void {
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

function bundleOf(store: ApiStore): string | undefined {
  const configuration = store.get(`${WEBHOOKS}/mutatingwebhookconfigurations`, 'vsmmu-webhook') as
    { readonly webhooks?: readonly { readonly clientConfig: { readonly caBundle?: string } }[] } | undefined;
  const bundle = configuration?.webhooks?.[0]?.clientConfig.caBundle;
  return bundle === undefined ? undefined : Buffer.from(bundle, 'base64').toString('utf8');
}

function ready(programs: Programs, kubelet: KubeletPeer, store: ApiStore): boolean {
  const { webhook, hook } = programs;
  for (const { name, running, said } of Object.values(programs))
    if (!running) throw new Error(`${name} ended: ${said}`);
  return (
    allThere(kubelet, RESOURCE, DEVICES.length) &&
    webhook.written.includes('\n') &&
    bundleOf(store) !== undefined &&
    isLabelled(store) &&
    hook.said.includes('serving')
  );
}

/** By the controller, from the agent's profile. */
function isLabelled(store: ApiStore): boolean {
  const node = store.get('/api/v1/nodes', 'node-1');
  return Object.keys(node?.metadata['labels'] ?? {}).some((key) => key.startsWith('vsmmu.io/'));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

interface Churned {
  readonly programs: Programs;
  readonly store: ApiStore;
  readonly tree: HostTree;
  readonly kubelet: KubeletPeer;
  readonly sockets: string;
  readonly ports: Places['ports'];
  readonly sampleMs: number;
  readonly tally: Tally;
}

async function churn({
  programs,
  store,
  tree,
  kubelet,
  sockets,
  ports,
  sampleMs,
  tally,
}: Churned): Promise<void> {
  const signal = AbortSignal.timeout(minutes * 60_000);
  const reviewer = new Reviewer(
    () => new URL(programs.webhook.written.trim()),
    () => bundleOf(store),
    tally,
  );
  const reviews = await reviewBodies();
  const socket = join(sockets, readdirSync(sockets)[0] ?? '');
  const define = { domain: readFileSync('src/cli/demo/two-gpu.domain.xml'), vmi: Buffer.from(reviews.vmi) };
  const some = (least: number, most: number) => () => least + Math.random() * (most - least);
  const sampler = setInterval(() => {
    for (const program of Object.values(programs)) program.sample();
  }, sampleMs);
  let next = 0;
  let awaited = false;
  await Promise.all([
    repeat(signal, some(200, 2000), async () => {
      if (!awaited) await churnDevices(tree, DEVICES, tally);
    }),
    repeat(signal, some(5000, 15_000), async () => {
      // Whether all devices come back can be told only while no other one goes.
      awaited = true;
      await churnKubelet(kubelet, store, { resource: RESOURCE, count: DEVICES.length }, tally);
      awaited = false;
    }),
    repeat(signal, some(100, 400), () => allocate(kubelet, RESOURCE, DEVICES, tally)),
    ...Array.from({ length: 2 }, () =>
      repeat(signal, some(5, 60), async () => {
        const [path, body] = reviews.all[next++ % reviews.all.length] ?? ['', ''];
        await reviewer.review(path, body);
      }),
    ),
    repeat(signal, some(500, 3000), () => reviewer.disturb()),
    ...Object.values(ports).map((port) => repeat(signal, some(500, 2000), () => scrape(port, tally))),
    repeat(signal, some(50, 250), () => callHook(socket, define, tally)),
    repeat(signal, some(4000, 20_000), async () => {
      store.cutWatches(Math.random() < 0.5 ? 'end' : 'reset');
      tally.add('watches cut');
      await Promise.resolve();
    }),
  ]);
  clearInterval(sampler);
  reviewer.close();
}

/** The reviews of one VM's life, with the values of the demo's host. */
async function reviewBodies(): Promise<{
  readonly all: readonly (readonly [string, string])[];
  readonly vmi: string;
}> {
  const host = featuresOf(await probeHost(await openRecording('src/cli/demo/two-gpu-host')));
  const vmi = JSON.parse(readFileSync('src/cli/demo/two-gpu.vmi.json', 'utf8')) as {
    readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  };
  const annotations = { ...vmi.metadata.annotations, 'vsmmu.io/resolved': renderAnnotation(host, 'gpu-1') };
  const resolved = { ...vmi, metadata: { ...vmi.metadata, annotations } };
  const handed = { ...vmi, status: { phase: 'Scheduled', nodeName: 'node-1' } };
  const review = (operation: string, object: unknown, oldObject?: unknown) =>
    JSON.stringify({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request: {
        uid: 'soak',
        operation,
        resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
        namespace: 'default',
        name: 'vm',
        userInfo: { username: 'system:serviceaccount:kubevirt:kubevirt-controller' },
        object,
        oldObject,
      },
    });
  return {
    vmi: JSON.stringify(resolved),
    all: [
      ['/mutate', review('CREATE', vmi)],
      ['/mutate', review('UPDATE', handed, vmi)],
      ['/validate', review('UPDATE', handed, vmi)],
      ['/validate', review('CREATE', vmi)],
    ],
  };
}

interface Result {
  readonly verdict: 'flat' | 'not flat';
  readonly minutes: number;
  readonly node: string;
  readonly cpus: number;
  readonly load: number;
  readonly did: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly exitStatuses: readonly (number | null)[];
  readonly programs: Readonly<
    Record<
      string,
      {
        readonly judged: readonly Judged[];
        readonly rss: Spread;
        readonly loopMs: { readonly p99: number; readonly max: number };
        readonly series: ProgramSeries;
      }
    >
  >;
}
interface Spread {
  readonly median: number;
  readonly max: number;
}

function report(programs: Programs, tally: Tally, store: ApiStore): Omit<Result, 'verdict' | 'exitStatuses'> {
  const each = Object.entries(programs).map(([name, program]) => {
    const series = program.series();
    const rss = series.rss.map(({ value }) => value);
    const judged = Object.entries(LIMITS).map(([key, limit]) =>
      judge(series[key as keyof ProgramSeries], limit),
    );
    const loopMs = {
      p99: median(series.loopP99.map(({ value }) => value)),
      max: Math.max(...series.loopMax.map(({ value }) => value)),
    };
    return [name, { judged, rss: { median: median(rss), max: Math.max(...rss) }, loopMs, series }] as const;
  });
  return {
    minutes,
    node: process.version,
    cpus: cpus().length,
    load: loadavg()[1] ?? 0,
    did: {
      ...tally.counts,
      'requests to the API server': store.requests,
      'of them answered by a fault': store.faults,
    },
    failures: tally.failures,
    programs: Object.fromEntries(each),
  };
}

function print({ verdict, did, failures, programs, load, cpus: count, node, exitStatuses }: Result): void {
  const line = (text: string) => process.stdout.write(`${text}\n`);
  line(`${minutes} minutes on ${count} CPUs, load ${load.toFixed(1)}, Node ${node}`);
  line(
    Object.entries(did)
      .map(([what, times]) => `${what}: ${times}`)
      .join(', '),
  );
  for (const [name, { judged, rss, loopMs }] of Object.entries(programs)) {
    line(
      `\n${name}: RSS ${rss.median.toFixed(1)} MiB, at most ${rss.max.toFixed(1)}; event loop late by ${loopMs.p99.toFixed(1)} ms (p99), at most ${loopMs.max.toFixed(0)}`,
    );
    for (const { what, unit, early, late, grown, flat, samples, growth } of judged)
      line(
        `  ${flat ? 'flat ' : 'GROWS'}  ${what.padEnd(18)} ${early.toFixed(1)} -> ${late.toFixed(1)} ${unit} (trend adds ${grown.toFixed(2)}, may add ${growth}; ${samples} samples)`,
      );
  }
  for (const failure of failures) line(`failed: ${failure}`);
  line(`\nexit statuses: ${exitStatuses.join(', ')}\nverdict: ${verdict}`);
}

function usage(message: string): never {
  process.stderr.write(`soak: ${message}\n`);
  process.exit(2);
}
