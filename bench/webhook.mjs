import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { build } from 'esbuild';

import { buildGo } from './go-build.mjs';

export const title = 'AdmissionReviews over TLS 1.3, beside a minimal Go webhook that makes the same patch';

const ROUNDS = 5;
const REQUESTS = 400;
/** KiB of a review, and how many are asked for at once; the API server keeps at most 25 connections idle. */
const LOADS = [
  [2, 8],
  [16, 8],
  [100, 8],
  [16, 1],
  [16, 50],
  [16, 500],
];
const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];

export async function run(measure) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-bench-'));
  const servers = [];
  try {
    const product = await loadProduct(dir);
    const ca = certificates(product, dir);
    servers.push(['vsmmu', await start(process.execPath, vsmmuArgs(dir))]);
    const go = await buildGo('bench/go-webhook', join(dir, 'go-webhook'));
    if (go.program === undefined) measure.skip('the Go webhook', go.why);
    else servers.push(['Go', await start(go.program, [join(dir, 'tls.crt'), join(dir, 'tls.key')])]);
    for (const kilobytes of new Set(LOADS.map(([size]) => size)))
      handler(measure, product, JSON.stringify(review(kilobytes * 1024)), kilobytes);
    for (const [kilobytes, concurrent] of LOADS) {
      const body = JSON.stringify(review(kilobytes * 1024));
      await load(measure, servers, { ca, body, kilobytes, concurrent });
    }
    for (const [name, server] of servers)
      measure.row(`${name}: memory after the load`, 'MiB', [server.rssMiB()]);
  } finally {
    for (const [, server] of servers) server.child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The program's own part of a review, without HTTP and TLS. */
function handler(measure, product, body, kilobytes) {
  const judge = product.mutateHandler({
    resources: ['vsmmu.io/'],
    hook: { image: 'vsmmu:bench', imagePullPolicy: 'IfNotPresent' },
  });
  const bytes = Buffer.from(body);
  const once_ = () => {
    const { request: parsed } = product.parseReview(JSON.parse(bytes.toString('utf8')));
    return product.renderVerdict(parsed.uid, judge(parsed));
  };
  measure.row(`${kilobytes} KB: handler, from bytes to answer`, 'ms', measure.time(once_));
}

async function load(measure, servers, { ca, body, kilobytes, concurrent }) {
  const results = servers.map(() => ({ perCpuSecond: [], p50: [], p99: [] }));
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [index, [, server]] of servers.entries()) {
      const { latencies, cpuMs } = await burst(server, ca, body, concurrent);
      if (round < 0) continue;
      results[index].perCpuSecond.push((1000 * latencies.length) / cpuMs);
      results[index].p50.push(quantile(latencies, 0.5));
      results[index].p99.push(quantile(latencies, 0.99));
    }
  }
  const figures = [
    ['perCpuSecond', 'reviews per second of CPU', '/s'],
    ['p50', 'p50 as its caller sees it', 'ms'],
    ['p99', 'p99 as its caller sees it', 'ms'],
  ];
  for (const [field, what, unit] of figures) {
    const [ours, floor] = servers.map(([name], index) => [
      `${kilobytes} KB, ${concurrent} at once, ${name}: ${what}`,
      results[index][field],
    ]);
    if (floor === undefined) measure.row(ours[0], unit, ours[1]);
    else measure.pair(unit, ours, floor);
  }
}

/** How many connections are opened at once, before anything is measured. */
const WAVE = 20;

/** Latencies, milliseconds, of so many requests over as many open connections as there are callers, and the server's CPU time. */
async function burst(server, ca, body, concurrent) {
  const ask = (agent) => post(`${server.url}/mutate?timeout=10s`, agent, body);
  const agents = Array.from({ length: concurrent }, () => new Agent({ keepAlive: true, maxSockets: 1, ca }));
  for (let i = 0; i < concurrent; i += WAVE) await Promise.all(agents.slice(i, i + WAVE).map(ask));
  const before = server.cpuMs();
  const latencies = [];
  let left = Math.max(REQUESTS, 2 * concurrent);
  const caller = async (agent) => {
    while (left-- > 0) latencies.push(await ask(agent));
  };
  await Promise.all(agents.map(caller));
  const cpuMs = server.cpuMs() - before;
  for (const agent of agents) agent.destroy();
  return { latencies, cpuMs };
}

function post(url, agent, body) {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const sent = request(
      url,
      { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => {
          if (text.includes('"patch"')) resolve(performance.now() - begun);
          else reject(new Error(`no patch in the answer: ${response.statusCode} ${text.slice(0, 200)}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function review(bytes) {
  const object = {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name: 'vm', namespace: 'ns', annotations: { note: '' } },
    spec: {
      domain: { devices: { gpus: [{ name: 'gpu0', deviceName: 'vsmmu.io/10de-2941-ats' }], disks: [] } },
      volumes: [],
    },
  };
  const whole = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'a1b2c3d4-0000-4000-8000-000000000001',
      operation: 'CREATE',
      resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
      name: 'vm',
      namespace: 'ns',
      userInfo: { username: 'bench', groups: ['system:authenticated'] },
      object,
    },
  };
  for (let i = 0; JSON.stringify(whole).length < bytes; i += 1) {
    object.spec.domain.devices.disks.push({ name: `disk${i}`, disk: { bus: 'virtio' }, bootOrder: i });
    object.spec.volumes.push({ name: `disk${i}`, persistentVolumeClaim: { claimName: `claim-${i}` } });
  }
  return whole;
}

function vsmmuArgs(dir) {
  return [
    ...['dist/vsmmu.js', 'webhook', '--listen', '127.0.0.1:0', '--hook-image', 'vsmmu:bench'],
    ...['--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key')],
  ];
}

async function start(program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = await once(child.stdout, 'data');
  const proc = (name) => readFileSync(`/proc/${child.pid}/${name}`, 'utf8');
  return {
    child,
    url: line.toString().trim(),
    // schedstat counts nanoseconds on a CPU for each thread; stat's hundredths of a second are too coarse for a burst.
    cpuMs: () =>
      readdirSync(`/proc/${child.pid}/task`).reduce((sum, thread) => {
        const [nanoseconds] = proc(`task/${thread}/schedstat`).split(' ');
        return sum + Number(nanoseconds) / 1e6;
      }, 0),
    rssMiB: () => Number(/VmRSS:\s+(\d+)/.exec(proc('status'))[1]) / 1024,
  };
}

function certificates(product, dir) {
  const hour = 3_600_000;
  const validity = { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + hour) };
  const authority = product.createAuthority('bench', validity);
  const leaf = product.issueLeaf(authority, { names: ['127.0.0.1'], validity });
  writeFileSync(join(dir, 'tls.crt'), leaf.cert);
  writeFileSync(join(dir, 'tls.key'), leaf.key, { mode: 0o600 });
  return authority.cert;
}

async function loadProduct(dir) {
  const outfile = join(dir, 'product.mjs');
  const contents = [
    "export { createAuthority, issueLeaf } from './src/admission/certificates/issue.ts';",
    "export { mutateHandler } from './src/admission/mutate.ts';",
    "export { parseReview, renderVerdict } from './src/admission/review.ts';",
  ].join('\n');
  await build({
    stdin: { contents, resolveDir: process.cwd() },
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
  });
  return import(outfile);
}
