import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { bundleSource } from './bundle.mjs';
import { buildGo } from './go-build.mjs';

export const title =
  'AdmissionReviews over TLS 1.3 from a Go client, beside a minimal Go webhook that makes the same patch';

const ROUNDS = 5;
const REQUESTS = 1000;
/** Of each server before anything is measured: a webhook lives for weeks, and V8 compiles what is hot. */
const WARM_UP_REQUESTS = 20_000;
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
  const children = [];
  try {
    const product = await loadProduct(dir);
    writeCertificates(product, dir);
    const bodies = new Map(
      [...new Set(LOADS.map(([kilobytes]) => kilobytes))].map((kilobytes) => {
        const file = join(dir, `${kilobytes}.json`);
        writeFileSync(file, JSON.stringify(review(kilobytes * 1024)));
        return [kilobytes, file];
      }),
    );
    for (const [kilobytes, file] of bodies) handler(measure, product, readFileSync(file), kilobytes);
    const go = await goPrograms(dir);
    if (go.why !== undefined) {
      measure.skip('reviews over TLS, from a Go client and beside a Go webhook', go.why);
      return;
    }
    const servers = [
      ['vsmmu', await startServer(process.execPath, vsmmuArgs(dir), children)],
      ['Go', await startServer(go.webhook, [join(dir, 'tls.crt'), join(dir, 'tls.key')], children)],
    ];
    const caller = startCaller(go.caller, join(dir, 'ca.crt'), children);
    for (const [, server] of servers)
      await burst(server, caller, { file: bodies.get(2), concurrent: 8, requests: WARM_UP_REQUESTS });
    for (const [kilobytes, concurrent] of LOADS)
      await load(measure, servers, caller, { file: bodies.get(kilobytes), kilobytes, concurrent });
    for (const [name, server] of servers) {
      measure.row(`${name}: memory after the load`, 'MiB', [server.mib('VmRSS')]);
      measure.row(`${name}: memory at its highest`, 'MiB', [server.mib('VmHWM')]);
    }
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}

async function goPrograms(dir) {
  const [webhook, caller] = [
    await buildGo('bench/go-webhook', join(dir, 'go-webhook')),
    await buildGo('bench/go-caller', join(dir, 'go-caller')),
  ];
  const why = webhook.why ?? caller.why;
  return why === undefined ? { webhook: webhook.program, caller: caller.program } : { why };
}

/** The program's own part of a review, without HTTP and TLS. */
function handler(measure, product, bytes, kilobytes) {
  const judge = product.mutateHandler({
    resources: ['vsmmu.io/'],
    hook: { image: 'vsmmu:bench', imagePullPolicy: 'IfNotPresent' },
  });
  const whole = () => {
    const { request } = product.parseReview(JSON.parse(bytes.toString('utf8')));
    return product.renderVerdict(request.uid, judge(request));
  };
  const times = measure.time(whole, { warmup: 5000 });
  measure.row(`${kilobytes} KB: handler, from bytes to answer`, 'ms', times);
}

async function load(measure, servers, caller, { file, kilobytes, concurrent }) {
  const results = servers.map(() => ({ perCpuSecond: [], p50: [], p99: [] }));
  const requests = Math.max(REQUESTS, 2 * concurrent);
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [index, [, server]] of servers.entries()) {
      const { latencies, cpuMs } = await burst(server, caller, { file, concurrent, requests });
      if (round < 0) continue;
      results[index].perCpuSecond.push((1000 * requests) / cpuMs);
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
    measure.pair(unit, ours, floor);
  }
}

/**
 * Latencies, milliseconds, of so many requests over as many open connections as there are callers, and the server's CPU
 * time meanwhile.
 */
async function burst(server, caller, { file, concurrent, requests }) {
  await caller.ask(`${server.url}/mutate?timeout=10s ${file} ${concurrent} ${requests}`);
  const before = server.cpuMs();
  const latencies = (await caller.ask('go')).trim().split(' ');
  const cpuMs = server.cpuMs() - before;
  return { latencies: latencies.map((microseconds) => Number(microseconds) / 1000), cpuMs };
}

/** bench/go-caller: one line of an answer for each that is asked. */
function startCaller(program, authority, children) {
  const child = spawn(program, [authority], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(line) {
      child.stdin.write(`${line}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error('the caller ended; what it wrote above says why');
      return value;
    },
  };
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

/** As the chart runs it. */
function vsmmuArgs(dir) {
  return [
    ...['--max-semi-space-size=2', 'dist/vsmmu.js', 'webhook', '--listen', '127.0.0.1:0'],
    ...['--hook-image', 'vsmmu:bench', '--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key')],
  ];
}

async function startServer(program, args, children) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  const [line] = await once(child.stdout, 'data');
  const proc = (name) => readFileSync(`/proc/${child.pid}/${name}`, 'utf8');
  return {
    url: line.toString().trim(),
    // schedstat counts nanoseconds on a CPU for each thread; stat's hundredths of a second are too coarse for a burst.
    cpuMs: () =>
      readdirSync(`/proc/${child.pid}/task`).reduce((sum, thread) => {
        const [nanoseconds] = proc(`task/${thread}/schedstat`).split(' ');
        return sum + Number(nanoseconds) / 1e6;
      }, 0),
    mib: (field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(proc('status'))[1]) / 1024,
  };
}

function writeCertificates(product, dir) {
  const hour = 3_600_000;
  const validity = { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + hour) };
  const authority = product.createAuthority('bench', validity);
  const leaf = product.issueLeaf(authority, { names: ['127.0.0.1'], validity });
  writeFileSync(join(dir, 'ca.crt'), authority.cert);
  writeFileSync(join(dir, 'tls.crt'), leaf.cert);
  writeFileSync(join(dir, 'tls.key'), leaf.key, { mode: 0o600 });
}

async function loadProduct(dir) {
  const contents = [
    "export { createAuthority, issueLeaf } from './src/admission/certificates/issue.ts';",
    "export { mutateHandler } from './src/admission/mutate.ts';",
    "export { parseReview } from './src/admission/review.ts';",
    "export { renderVerdict } from './src/admission/review-answer.ts';",
  ].join('\n');
  return import(await bundleSource(contents, dir, 'product.mjs'));
}
