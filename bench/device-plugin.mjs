import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { LiveRoot } from '../test/real/kubelet/live-root.mjs';
import { devicesOverNodes, writeRecording } from '../test/real/kubelet/recording.mjs';
import { bundleSource } from './bundle.mjs';
import { buildGo } from './go-build.mjs';

export const title =
  'the device plugin: from exec to capacity, Allocate, memory, return after losses, beside a minimal one in Go; idle, pages of the program that only the start touched are mapped no longer but stay in the page cache (decision 8)';

const ROUNDS = 5;
const CALLS = 500;
const MANY = 10_000;
/** An agent that gives memory back has done so by then. */
const IDLE_MS = 2_500;
const SIZES = [64, 1024, 8192];
/** Go device plugins that were tried on 2026-11-25, by module. */
const PEERS = [
  'github.com/squat/generic-device-plugin',
  'github.com/k8snetworkplumbingwg/sriov-network-device-plugin',
];
const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.floor(values.length * q)];

/** The figures of one side, in the order of the page. */
const FIGURES = [
  ['start', 'exec to capacity', 'ms'],
  ['cpu', 'CPU until then', 'ms'],
  ['full', 'resident memory at capacity (RSS)', 'MiB'],
  ['rss', 'resident memory, idle (RSS)', 'MiB'],
  ['pss', 'its share of it (PSS)', 'MiB'],
  ['anonymous', 'of it anonymous', 'MiB'],
  ['p50', 'Allocate at the client, p50', 'ms'],
  ['p95', 'Allocate at the client, p95', 'ms'],
  ['p99', 'Allocate at the client, p99', 'ms'],
  ['own', "Allocate's own work, mean", 'ms'],
  ['own95', "Allocate's own work, p95 is at most", 'ms'],
  ['back', 'capacity back after a kubelet restart', 'ms'],
  ['again', 'capacity back after the stream was lost', 'ms'],
];

export async function run(measure) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-bench-'));
  try {
    const product = await loadProduct(dir);
    const go = await buildGo('bench/go-plugin', join(dir, 'go-plugin'));
    const bare = [];
    for (const count of SIZES) bare.push(...(await oneSize(measure, { product, dir, go, count })));
    measure.other('node -e 0, start to end', 'ms', bare);
    for (const [when, { rss, anonymous }] of await growth(product, dir, agentOf(join(dir, 'host-64')))) {
      measure.row(`resident memory ${when}, 64 devices`, 'MiB', [rss]);
      measure.row(`of it anonymous, ${when}, 64 devices`, 'MiB', [anonymous]);
    }
    if (!LIVE) measure.skip('the code for a live host', `a recording stands in: ${NOT_LIVE}`);
    if (go.program === undefined) measure.skip('the Go floor', go.why);
    else measure.skip('losses of the Go floor', 'it registers once and never again, as most peers do');
    for (const peer of PEERS)
      measure.skip(peer, 'the Go module proxy refuses its module (403), so it could not be built');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** @returns milliseconds of a bare Node, measured in turn with both sides */
async function oneSize(measure, { product, dir, go, count }) {
  const host = join(dir, `host-${count}`);
  const folder = join(dir, `devices-${count}`);
  const devices = devicesOverNodes(count, 4);
  if (LIVE) await LiveRoot.create(host, devices);
  else await writeRecording(host, devices);
  mkdirSync(folder);
  for (const { bdf } of devices) mkdirSync(join(folder, bdf));
  const [bare, ours, theirs] = [[], {}, {}];
  const add = (side, figures) => {
    for (const [name, value] of Object.entries(figures)) (side[name] ??= []).push(value);
  };
  for (let round = -1; round < ROUNDS; round += 1) {
    const node = await bareNode();
    const agent = await oneRun(product, dir, agentOf(host), count);
    const floor =
      go.program === undefined ? {} : await oneRun(product, dir, floorOf(go.program, folder), count);
    if (round < 0) continue;
    bare.push(node);
    add(ours, agent);
    add(theirs, floor);
  }
  for (const [name, what, unit] of FIGURES) {
    const row = [`${count} devices: ${what}`, ours[name]];
    // A process that took less than one tick of CPU time has no ratio.
    if (theirs[name] === undefined || name === 'cpu') measure.row(row[0], unit, row[1]);
    else measure.pair(unit, row, [`${count} devices, Go floor: ${what}`, theirs[name]]);
  }
  return bare;
}

/** Mounting a made-up host over /sys and /dev takes a mount namespace. */
const LIVE = spawnSync('unshare', ['--mount', 'true']).status === 0;
const NOT_LIVE = 'only root may mount a made-up host over /sys';

/**
 * As in the image, which sets NODE_OPTIONS, and in the chart. On a live host no device is asked: the files in /dev/vfio
 * answer nothing, and the SMMUs' registers stay unknown.
 */
const agentOf = (host) => {
  const command = (root, ...how) => [
    process.execPath,
    '--max-semi-space-size=1',
    'dist/vsmmu.js',
    'agent',
    ...how,
    '--kubelet-dir',
    root,
    '--http',
    '127.0.0.1:0',
  ];
  return {
    command: (root) =>
      LIVE ? new LiveRoot(host).wrap(command(root, '--no-bind')) : command(root, '--host', host),
    returns: true,
  };
};
const floorOf = (program, folder) => ({ command: (root) => [program, root, folder], returns: false });

async function bareNode() {
  const begun = performance.now();
  await once(spawn(process.execPath, ['-e', '0']), 'exit');
  return performance.now() - begun;
}

async function oneRun(product, dir, program, count) {
  return withPlugin(product, dir, program, async ({ kubelet, child, begun, http }) => {
    await kubelet.devices(count);
    const start = performance.now() - begun;
    const cpu = cpuMs(child.pid);
    const { rss: full } = memory(child.pid);
    if (program.returns) await sleep(IDLE_MS);
    const { rss, pss, anonymous } = memory(child.pid);
    const times = await kubelet.allocate(CALLS);
    const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => quantile(times, q));
    const figures = { start, cpu, full, rss, pss, anonymous, p50, p95, p99 };
    if (!program.returns) return figures;
    const metrics = await (await fetch(`${await http()}/metrics`)).text();
    const figure = (name) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(metrics)[1]);
    const own = (figure('vsmmu_allocate_seconds_sum') / figure('vsmmu_allocate_seconds_count')) * 1000;
    const own95 = bucketBound(metrics, 'vsmmu_allocate_seconds', 0.95) * 1000;
    const again = await timed(
      () => kubelet.loseStream(),
      () => kubelet.devices(count),
    );
    await kubelet.stop();
    const back = await timed(
      () => kubelet.start(),
      () => kubelet.devices(count),
    );
    return { ...figures, own, own95, back, again };
  });
}

/** The upper bound, in seconds, of the histogram's bucket that holds the quantile. */
function bucketBound(metrics, name, q) {
  const buckets = [...metrics.matchAll(new RegExp(`^${name}_bucket{le="([^"]+)"} (\\d+)$`, 'gm'))];
  const total = Number(buckets.at(-1)[2]);
  return Number(buckets.find(([, , count]) => Number(count) >= q * total)[1].replace('+Inf', 'Infinity'));
}

/** Milliseconds from when the cause is there until its effect is. */
async function timed(cause, effect) {
  await cause();
  const begun = performance.now();
  await effect();
  return performance.now() - begun;
}

/** Memory after more and more allocations, measured at once, and when it is quiet again. */
function growth(product, dir, program) {
  return withPlugin(product, dir, program, async ({ kubelet, child }) => {
    await kubelet.devices(64);
    const seen = [];
    let done = 0;
    for (const calls of [CALLS, MANY, MANY]) {
      await kubelet.allocate(calls);
      done += calls;
      seen.push([`at once after ${done} allocations`, memory(child.pid)]);
    }
    await sleep(4 * IDLE_MS);
    return [...seen, [`10 s after ${done} allocations`, memory(child.pid)]];
  });
}

async function withPlugin(product, dir, program, use) {
  const root = mkdtempSync(join(dir, 'k'));
  const kubelet = new Kubelet(product, join(root, 'device-plugins'));
  await kubelet.start();
  const begun = performance.now();
  const [file, ...args] = program.command(root);
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk) => (log += chunk));
  const http = async () => {
    for (;;) {
      const port = /"port":(\d+)/.exec(log)?.[1];
      if (port !== undefined) return `http://127.0.0.1:${port}`;
      await once(child.stderr, 'data');
    }
  };
  try {
    return await use({ kubelet, child, begun, http });
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
    await kubelet.stop();
  }
}

/** As much of a kubelet as it takes to be registered with. */
class Kubelet {
  #product;
  #dir;
  #server;
  #plugin;
  #list = [];
  #waiting = () => undefined;

  constructor(product, dir) {
    this.#product = product;
    this.#dir = dir;
  }

  async start() {
    const { serveUnix, service, Registration } = this.#product;
    mkdirSync(this.#dir, { recursive: true });
    for (const name of readdirSync(this.#dir))
      if (name.endsWith('.sock')) rmSync(join(this.#dir, name), { force: true });
    this.#list = [];
    const register = async ({ endpoint }) => {
      this.#plugin = this.#product.unixClient(this.#product.DevicePlugin, join(this.#dir, endpoint));
      await this.#plugin.call.getDevicePluginOptions({});
      void this.#watch(this.#plugin);
      return {};
    };
    this.#server = await serveUnix(join(this.#dir, 'kubelet.sock'), [service(Registration, { register })], {
      graceMs: 0,
    });
  }

  /** As when the kubelet drops the connection and tells nobody. */
  loseStream() {
    this.#list = [];
    this.#plugin.close();
  }

  async stop() {
    this.#plugin?.close();
    await this.#server.close();
  }

  async devices(count) {
    while (this.#list.length !== count) {
      await new Promise((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** Milliseconds of each call. */
  async allocate(calls) {
    const times = [];
    for (let call = 0; call < calls; call += 1) {
      const { ID } = this.#list[call % this.#list.length];
      const begun = performance.now();
      await this.#plugin.call.allocate({ containerRequests: [{ devicesIds: [ID] }] });
      times.push(performance.now() - begun);
    }
    return times;
  }

  async #watch(plugin) {
    try {
      for await (const { devices } of plugin.call.listAndWatch({})) {
        this.#list = devices;
        this.#waiting();
      }
    } catch {
      // The agent ended, or this kubelet did.
    }
  }
}

function memory(pid) {
  const roll = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mib = (field) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(roll)[1]) / 1024;
  return { rss: mib('Rss'), pss: mib('Pss'), anonymous: mib('Anonymous') };
}

/** User and system time so far; a tick is 10 ms. */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function loadProduct(dir) {
  const contents = [
    "export { unixClient } from './src/grpc/client.ts';",
    "export { serveUnix, service } from './src/grpc/server.ts';",
    `export { DevicePlugin, Registration } from './src/gen/kubelet/deviceplugin/v1beta1/api_pb.ts';`,
  ].join('\n');
  return import(await bundleSource(contents, dir, 'product.mjs'));
}
