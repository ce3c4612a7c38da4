import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { bundleSource } from './bundle.mjs';
import { buildGo } from './go-build.mjs';

export const title =
  "the hook in a VM's pod: from start to socket, OnDefineDomain, memory, beside a minimal one in Go; idle, pages of the program that only the start touched are mapped no longer but stay in the page cache (decision 8)";

const ROUNDS = 7;
const CALLS = 200;
/** A hook that gives memory back has done so by then. */
const IDLE_MS = 2_000;
/** The figures of one side, in the order of the page. */
const FIGURES = [
  ['serving', 'from start to serving', 'ms'],
  ['first', 'first OnDefineDomain (two GPUs and a NIC, 5 KB)', 'ms'],
  ['p50', `p50 of ${CALLS} further calls`, 'ms'],
  ['p99', `p99 of ${CALLS} further calls`, 'ms'],
  ['rss', "resident memory after a boot's three calls", 'MiB'],
  ['anonymous', 'of it anonymous', 'MiB'],
  ['idle', 'resident memory, idle', 'MiB'],
  ['again', 'a call then', 'ms'],
];
const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.floor(values.length * q)];

export async function run(measure) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-bench-'));
  try {
    const product = await loadProduct(dir);
    const annotation = execFileSync(
      process.execPath,
      [
        'dist/vsmmu.js',
        'resolve',
        '--host',
        'src/cli/demo/two-gpu-host',
        '-o',
        'annotation',
        '--node',
        'bench',
      ],
      { encoding: 'utf8' },
    ).trim();
    const params = {
      domainXML: readFileSync('src/cli/demo/two-gpu.domain.xml'),
      vmi: Buffer.from(
        JSON.stringify({
          metadata: { name: 'vm', annotations: { 'vsmmu.io/resolved': annotation } },
          spec: {},
        }),
      ),
    };
    const go = await buildGo('bench/go-hook', join(dir, 'go-hook'));
    const [bare, ours, theirs] = [[], {}, {}];
    const add = (side, figures) => {
      for (const [name, value] of Object.entries(figures)) (side[name] ??= []).push(value);
    };
    for (let round = -1; round < ROUNDS; round += 1) {
      const node = await bareNode();
      const hook = await hookOnce(product, params, hookIn(dir));
      const floor = go.program === undefined ? {} : await hookOnce(product, params, floorIn(dir, go.program));
      if (round < 0) continue;
      bare.push(node);
      add(ours, hook);
      add(theirs, floor);
    }
    measure.other('node -e 0, start to end', 'ms', bare);
    for (const [name, what, unit] of FIGURES)
      if (theirs[name] === undefined) measure.row(what, unit, ours[name]);
      else measure.pair(unit, [what, ours[name]], [`Go floor, which changes nothing: ${what}`, theirs[name]]);
    if (go.program === undefined) measure.skip('the Go floor', go.why);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function bareNode() {
  const begun = performance.now();
  await once(spawn(process.execPath, ['-e', '0']), 'exit');
  return performance.now() - begun;
}

/** As in the image, which sets NODE_OPTIONS. */
const hookIn = (dir) => ({
  file: process.execPath,
  args: ['--max-semi-space-size=1', 'dist/vsmmu.js', 'hook', '--socket-dir', dir],
  env: { CONTAINER_NAME: 'hook-sidecar-0' },
  socket: join(dir, 'hook-sidecar-0.sock'),
});
const floorIn = (dir, file) => ({ file, args: [dir], env: {}, socket: join(dir, 'floor.sock') });

async function hookOnce(product, params, { file, args, env, socket }) {
  const begun = performance.now();
  const child = spawn(file, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  await once(child.stderr, 'data');
  const serving = performance.now() - begun;
  if (!existsSync(socket)) throw new Error('the hook serves no socket');
  const client = product.unixClient(product.Callbacks, socket);
  try {
    await product.unixClient(product.Info, socket).call.info({});
    const timed = async () => {
      const start = performance.now();
      await client.call.onDefineDomain(params);
      return performance.now() - start;
    };
    const first = await timed();
    // A boot makes two or three calls; memory is what it takes by then.
    for (let call = 1; call < 3; call += 1) await timed();
    const { rss, anonymous } = memory(child.pid);
    await sleep(IDLE_MS);
    const { rss: idle } = memory(child.pid);
    const again = await timed();
    const times = [];
    for (let i = 0; i < CALLS; i += 1) times.push(await timed());
    const [p50, p99] = [0.5, 0.99].map((q) => quantile(times, q));
    return { serving, first, p50, p99, rss, anonymous, idle, again };
  } finally {
    await client.call.shutdown({});
    client.close();
    await once(child, 'exit');
  }
}

function memory(pid) {
  const roll = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mib = (field) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(roll)[1]) / 1024;
  return { rss: mib('Rss'), pss: mib('Pss'), anonymous: mib('Anonymous') };
}

async function loadProduct(dir) {
  const contents = [
    "export { unixClient } from './src/grpc/client.ts';",
    "export { Info } from './src/gen/kubevirt/hooks/info/api_pb.ts';",
    "export { Callbacks } from './src/gen/kubevirt/hooks/v1alpha3/api_pb.ts';",
  ].join('\n');
  return import(await bundleSource(contents, dir, 'product.mjs'));
}
