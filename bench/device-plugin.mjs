import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { devicesOverNodes, writeRecording } from '../test/real/kubelet/recording.mjs';

export const title =
  'the device plugin: from exec to capacity, Allocate, memory, back after a kubelet restart';

const ROUNDS = 5;
const CALLS = 500;
const MANY = 10_000;
const RESOURCE = 'vsmmu.io/10de-2941-ats';
const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.floor(values.length * q)];

export async function run(measure) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-bench-'));
  try {
    const product = await loadProduct(dir);
    const bare = [];
    for (const count of [64, 1024]) {
      const host = join(dir, `host-${count}`);
      await writeRecording(host, devicesOverNodes(count, 4));
      const rounds = { start: [], cpu: [], rss: [], anonymous: [], p50: [], p95: [], own: [], back: [] };
      for (let round = -1; round < ROUNDS; round += 1) {
        const floor = await bareNode();
        const one = await oneAgent(product, dir, host, count);
        if (round < 0) continue;
        bare.push(floor);
        for (const [name, value] of Object.entries(one)) rounds[name].push(value);
      }
      const of = `, ${count} devices`;
      measure.against('ms', [`exec to capacity${of}`, rounds.start], ['node -e 0, start to end', bare]);
      measure.row(`CPU until then${of}`, 'ms', rounds.cpu);
      measure.row(`resident memory, idle${of}`, 'MiB', rounds.rss);
      measure.row(`of it anonymous${of}`, 'MiB', rounds.anonymous);
      measure.row(`Allocate, p50 at the client${of}`, 'ms', rounds.p50);
      measure.row(`Allocate, p95 at the client${of}`, 'ms', rounds.p95);
      measure.row(`Allocate, own work, mean${of}`, 'ms', rounds.own);
      measure.row(`capacity back after a kubelet restart${of}`, 'ms', rounds.back);
    }
    measure.row('node -e 0, start to end', 'ms', bare);
    const [before, after] = await growth(product, dir, join(dir, 'host-64'));
    measure.row(`resident memory after ${CALLS} allocations, 64 devices`, 'MiB', [before]);
    measure.row(`resident memory after ${MANY + CALLS} allocations, 64 devices`, 'MiB', [after]);
    measure.skip('a Go peer beside it', 'no device plugin written in Go is built here');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function bareNode() {
  const begun = performance.now();
  await once(spawn(process.execPath, ['-e', '0']), 'exit');
  return performance.now() - begun;
}

async function oneAgent(product, dir, host, count) {
  return withAgent(product, dir, host, async ({ kubelet, child, begun, http }) => {
    await kubelet.devices(count);
    const start = performance.now() - begun;
    const cpu = cpuMs(child.pid);
    const { rss, anonymous } = memory(child.pid);
    const times = await kubelet.allocate(CALLS);
    const metrics = await (await fetch(`${await http()}/metrics`)).text();
    const figure = (name) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(metrics)[1]);
    const own = (figure('vsmmu_allocate_seconds_sum') / figure('vsmmu_allocate_seconds_count')) * 1000;
    await kubelet.stop();
    await kubelet.start();
    const restarted = performance.now();
    await kubelet.devices(count);
    const back = performance.now() - restarted;
    return { start, cpu, rss, anonymous, p50: quantile(times, 0.5), p95: quantile(times, 0.95), own, back };
  });
}

function growth(product, dir, host) {
  return withAgent(product, dir, host, async ({ kubelet, child }) => {
    await kubelet.devices(64);
    await kubelet.allocate(CALLS);
    const before = memory(child.pid).rss;
    await kubelet.allocate(MANY);
    return [before, memory(child.pid).rss];
  });
}

async function withAgent(product, dir, host, use) {
  const root = mkdtempSync(join(dir, 'k'));
  const kubelet = new Kubelet(product, join(root, 'device-plugins'));
  await kubelet.start();
  const begun = performance.now();
  const child = spawn(
    process.execPath,
    ['dist/vsmmu.js', 'agent', '--host', host, '--kubelet-dir', root, '--http', '127.0.0.1:0'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
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
    for (const name of readdirSync(this.#dir)) if (name.endsWith('.sock')) unlinkSync(join(this.#dir, name));
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
  return { rss: mib('Rss'), anonymous: mib('Anonymous') };
}

/** User and system time so far; a tick is 10 ms. */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function loadProduct(dir) {
  const outfile = join(dir, 'product.mjs');
  const contents = [
    "export { unixClient } from './src/grpc/client.ts';",
    "export { serveUnix, service } from './src/grpc/server.ts';",
    `export { DevicePlugin, Registration } from './src/gen/kubelet/deviceplugin/v1beta1/api_pb.ts';`,
  ].join('\n');
  await build({
    stdin: { contents, resolveDir: process.cwd() },
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  return import(outfile);
}
