// Runs vsmmu's programs under churn and watches whether anything in them grows; run.mjs bundles and starts this.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { HostTree, type FunctionOfHost } from '../kubelet-host.js';
import { KubeletPeer } from '../kubelet-peer.js';
import { ApiStore } from './api-store.js';
import {
  allocate,
  allThere,
  callHook,
  churnDevices,
  churnKubelet,
  pause,
  repeat,
  Reviewer,
  scrape,
  Tally,
} from './churn.js';
import { bundleOf, isLabelled, prepareCluster } from './cluster.js';
import type { Surroundings } from './program.js';
import { freePort, startAll, type Places, type Programs } from './programs.js';
import { print, report, type Result } from './report.js';
import { reviewBodies } from './reviews.js';

const RESOURCE = 'vsmmu.io/10de-2941';
const DEVICES: readonly FunctionOfHost[] = Array.from({ length: 16 }, (_, n) => ({
  bdf: `${(n + 1).toString(16).padStart(4, '0')}:01:00.0`,
  group: n + 1,
  numa: n % 4,
}));

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
    await comeUp(() => ready(programs, kubelet, store));
    store.faultShare = 0.01;
    await churn({ programs, store, tree, kubelet, sockets, ports, sampleMs, tally });
    for (const { name, said, running } of Object.values(programs))
      if (!running) tally.fail(`${name} is not running any more: ${said}`);
    const measured = report(programs, { minutes, tally, store });
    const exitStatuses = await stopAll(programs);
    return conclude({ ...measured, exitStatuses });
  } finally {
    await stopAll(programs);
    await kubelet.close();
    await store.wire.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Five programs start at once, perhaps on a machine that is busy with others. */
async function comeUp(condition: () => boolean): Promise<void> {
  const giveUp = Date.now() + 120_000;
  while (!condition()) {
    if (Date.now() > giveUp) throw new Error('the programs were not up within two minutes');
    await pause(50);
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

function usage(message: string): never {
  process.stderr.write(`soak: ${message}\n`);
  process.exit(2);
}
