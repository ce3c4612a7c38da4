// The simulation of a fleet (npm run simulate) held against a real kube-apiserver and etcd with NodeProfiles of 64 devices
// each, and a real webhook that follows them. VSMMU_SCALE_NODES=1000 makes it the size that docs/scaling.md names.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { installCrds } from '../fleet/crds.mjs';
import { Authority } from '../kubernetes/certificates.mjs';
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { writeKubeconfig } from '../kubernetes/kubeconfig.mjs';

const sizes = 'a stored NodeProfile of 64 devices has the simulated size';
const follows = 'a webhook that follows all of them needs the simulated memory';
const stored = 'etcd grows by what is simulated, and a renewal of all by no more';

const NODES = Number(process.env.VSMMU_SCALE_NODES ?? 250);
const DEVICES = 64;
const SWARM = 16;
const PROFILES = '/apis/vsmmu.io/v1alpha1/nodeprofiles';
const MIB = 1024 * 1024;

export const suite = {
  name: 'scale',
  needs: 'Go, for kube-apiserver and etcd; openssl',
  timeoutMinutes: NODES > 500 ? 25 : 8,
  checks: [sizes, follows, stored],
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-scale-'));
    const cluster = await Cluster.start(ctx);
    try {
      await installCrds(ctx, cluster);
      await checks(ctx, cluster, folder);
    } finally {
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function checks(ctx, cluster, folder) {
  const simulated = await simulate(ctx, folder);
  const { hostReport, profileObject } = await objects(ctx, folder);
  const report = await hostReport(DEVICES, 4);
  const { spec, status } = profileObject(report, 'node');
  const webhook = await startWebhook(ctx, cluster, folder);
  const before = { live: await webhook.liveMiB(), ...(await footprint(cluster)) };
  await swarm((name) => cluster.admin.create(PROFILES, manifest(name, { spec })));
  await swarm((name) => renew(cluster, name, status));

  await ctx.check(sizes, async () => {
    const text = JSON.stringify(await cluster.admin.get(`${PROFILES}/${nameOf(0)}`));
    ctx.log(`${text.length} bytes, simulated ${simulated.sizes.profile}`);
    assert.ok(Math.abs(text.length / simulated.sizes.profile - 1) < 0.2);
  });
  await ctx.check(follows, async () => {
    let grown = 0;
    await eventually('the webhook has them all', async () => {
      grown = (await webhook.liveMiB()) - before.live;
      return grown > 0.5 * simulated.held.webhookMiB;
    });
    ctx.log(
      `${grown.toFixed(1)} MiB live, simulated ${simulated.held.webhookMiB.toFixed(1)}; ${(await webhook.rssMiB()).toFixed(0)} MiB resident`,
    );
    assert.ok(grown < 1.5 * simulated.held.webhookMiB);
  });
  await ctx.check(stored, async () => {
    const written = await footprint(cluster);
    await swarm((name) => renew(cluster, name, { ...status, renewedAt: new Date().toISOString() }));
    const renewed = await footprint(cluster);
    const objectMiB = (NODES * simulated.sizes.profile) / MIB;
    ctx.log(
      `etcd: ${before.etcdMiB.toFixed(0)}, then ${written.etcdMiB.toFixed(0)}, after all renewed ${renewed.etcdMiB.toFixed(0)} MiB; ` +
        `one version of all is ${objectMiB.toFixed(0)} MiB. API server: ${before.apiServerMiB.toFixed(0)} -> ${renewed.apiServerMiB.toFixed(0)} MiB resident`,
    );
    // Each write is a version of the whole object until it is compacted; bbolt's pages and index come on top.
    assert.ok(written.etcdMiB - before.etcdMiB < 2 * 2 * objectMiB);
    assert.ok(renewed.etcdMiB - written.etcdMiB < 2 * objectMiB);
  });
}

async function simulate(ctx, folder) {
  const json = join(folder, 'simulated.json');
  const args = ['--nodes', String(NODES), '--devices', String(DEVICES), '--json', json];
  await ctx.run(process.execPath, [join(ctx.root, 'bench/scale/run.mjs'), ...args], { timeoutSeconds: 240 });
  const [result] = JSON.parse(await readFile(json, 'utf8'));
  return result;
}

async function objects(ctx, folder) {
  const outfile = join(folder, 'objects.mjs');
  await build({
    entryPoints: [join(ctx.root, 'bench/scale/objects.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['koffi'],
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
  });
  return import(pathToFileURL(outfile).href);
}

/** A webhook that looks at its own memory after a collection, twice a second (test/soak/inside.cjs). */
async function startWebhook(ctx, cluster, folder) {
  const authority = await Authority.create(ctx, folder, 'ca');
  const [certificate, key, samples] = ['tls.crt', 'tls.key', 'samples'].map((name) => join(folder, name));
  await authority.issue({ certificate, key });
  const kubeconfig = await writeKubeconfig(cluster, join(folder, 'kubeconfig'));
  const child = ctx.start(
    process.execPath,
    [
      ...[
        '--require',
        join(ctx.root, 'test/soak/inside.cjs'),
        ctx.vsmmu,
        'webhook',
        '--listen',
        '127.0.0.1:0',
      ],
      ...['--cluster', '--kubeconfig', kubeconfig, '--tls-cert', certificate, '--tls-key', key],
    ],
    { env: { ...process.env, SOAK_SAMPLES: samples, SOAK_SAMPLE_MS: '500', SOAK_COLLECT_EVERY: '1' } },
  );
  let address = '';
  child.stdout.on('data', (text) => (address += text));
  child.stderr.resume();
  await eventually('the webhook listens', () => address.includes('\n'), 60);
  const lines = async () => (await readFile(samples, 'utf8').catch(() => '')).trim().split('\n');
  return {
    async liveMiB() {
      const count = (await lines()).length;
      await eventually('it has looked at itself', async () => (await lines()).length > count + 1);
      const { heapUsed, external } = JSON.parse((await lines()).at(-1));
      return (heapUsed + external) / MIB;
    },
    rssMiB: () => rssMiB(child.pid),
  };
}

function manifest(name, part) {
  const own = part.spec === undefined ? part : { spec: { ...part.spec, node: name } };
  return { apiVersion: 'vsmmu.io/v1alpha1', kind: 'NodeProfile', metadata: { name }, ...own };
}

function renew(cluster, name, status) {
  return cluster.admin.patch(`${PROFILES}/${name}/status`, 'merge', { status });
}

function nameOf(n) {
  return `node-${String(n).padStart(5, '0')}`;
}

async function swarm(task) {
  let next = 0;
  const worker = async () => {
    while (next < NODES) await task(nameOf(next++));
  };
  await Promise.all(Array.from({ length: SWARM }, worker));
}

/** Resident memory of the API server and the size of etcd's database, MiB. */
async function footprint(cluster) {
  const folder = dirname(cluster.auditLog);
  const { size } = await stat(join(folder, 'etcd/member/snap/db'));
  return { etcdMiB: size / MIB, apiServerMiB: await rssOf(`--audit-log-path=${cluster.auditLog}`) };
}

/** Of the program with this argument. */
async function rssOf(argument) {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes(argument) && !words[0].endsWith('sh')) return rssMiB(pid);
  }
  return NaN;
}

async function rssMiB(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
