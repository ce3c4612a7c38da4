import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { build } from 'esbuild';

export const title = "the hook in a VM's pod: from start to socket, one OnDefineDomain, memory";

const ROUNDS = 7;
const CALLS = 200;
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
    const results = { serving: [], bare: [], first: [], p50: [], p99: [], rss: [], anonymous: [] };
    for (let round = -1; round < ROUNDS; round += 1) {
      const bare = await bareNode();
      const one = await hookOnce(product, dir, params);
      if (round < 0) continue;
      results.bare.push(bare);
      for (const [name, value] of Object.entries(one)) results[name].push(value);
    }
    measure.pair('ms', ['from start to serving', results.serving], ['node -e 0, start to end', results.bare]);
    measure.row('first OnDefineDomain (two GPUs and a NIC, 5 KB)', 'ms', results.first);
    measure.row(`p50 of ${CALLS} further calls`, 'ms', results.p50);
    measure.row(`p99 of ${CALLS} further calls`, 'ms', results.p99);
    measure.row("resident memory after a boot's three calls", 'MiB', results.rss);
    measure.row('of it anonymous', 'MiB', results.anonymous);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function bareNode() {
  const begun = performance.now();
  await once(spawn(process.execPath, ['-e', '0']), 'exit');
  return performance.now() - begun;
}

async function hookOnce(product, dir, params) {
  const begun = performance.now();
  const child = spawn(process.execPath, ['dist/vsmmu.js', 'hook', '--socket-dir', dir], {
    env: { CONTAINER_NAME: 'hook-sidecar-0' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(child.stderr, 'data');
  const serving = performance.now() - begun;
  const socket = join(dir, 'hook-sidecar-0.sock');
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
    const roll = readFileSync(`/proc/${child.pid}/smaps_rollup`, 'utf8');
    const mib = (field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(roll)[1]) / 1024;
    const [rss, anonymous] = [mib('Rss'), mib('Pss_Anon')];
    const times = [];
    for (let i = 0; i < CALLS; i += 1) times.push(await timed());
    return { serving, first, p50: quantile(times, 0.5), p99: quantile(times, 0.99), rss, anonymous };
  } finally {
    await client.call.shutdown({});
    client.close();
    await once(child, 'exit');
  }
}

async function loadProduct(dir) {
  const outfile = join(dir, 'product.mjs');
  const contents = [
    "export { unixClient } from './src/grpc/client.ts';",
    "export { Info } from './src/gen/kubevirt/hooks/info/api_pb.ts';",
    "export { Callbacks } from './src/gen/kubevirt/hooks/v1alpha3/api_pb.ts';",
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
