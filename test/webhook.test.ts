import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import jsonPatch, { type Operation } from 'fast-json-patch';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createAuthority, issueLeaf, type KeyPair } from '../src/admission/certificates/issue.js';
import { parseListen } from '../src/cli/commands/webhook.js';
import { errnoOf } from '../src/errors.js';
import { HOOK_SIDECARS_ANNOTATION, RESOLVED_ANNOTATION } from '../src/kubevirt/annotations.js';

/** The program as it is shipped; `npm test` builds it first. */
const PROGRAM = 'dist/vsmmu.js';
const validity = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 3_600_000) };
const VMI = JSON.parse(readFileSync('src/cli/demo/two-gpu.vmi.json', 'utf8')) as Vmi;

interface Vmi {
  metadata: { name: string; annotations?: Record<string, string> };
}

interface Response {
  uid: string;
  allowed: boolean;
  patchType?: string;
  patch?: string;
  status?: { code: number; message: string };
}

let dir: string;
let children: ChildProcessWithoutNullStreams[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'wh-'));
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

const file = (name: string) => join(dir, name);

function writePair({ cert, key }: KeyPair): void {
  for (const [name, text] of [
    ['tls.key', key],
    ['tls.crt', cert],
  ] as const) {
    writeFileSync(file(`${name}.new`), text);
    renameSync(file(`${name}.new`), file(name));
  }
}

interface Webhook {
  readonly child: ChildProcessWithoutNullStreams;
  readonly url: string;
  readonly exited: Promise<number | null>;
}

async function startWebhook(...args: string[]): Promise<Webhook> {
  const child = spawn(process.execPath, [
    PROGRAM,
    'webhook',
    ...['--listen', '127.0.0.1:0', '--tls-cert', file('tls.crt'), '--tls-key', file('tls.key')],
    ...['--shutdown-delay', '0', ...args],
  ]);
  children.push(child);
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = exited.then((code) => Promise.reject(new Error(`it ended with ${String(code)}: ${stderr}`)));
  const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer];
  ended.catch(() => undefined);
  return { child, url: line.toString().trim(), exited };
}

function review(object: unknown, extra: object = {}): object {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u-1',
      operation: 'CREATE',
      resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
      object,
      ...extra,
    },
  };
}

function post(url: string, ca: string, body: object): Promise<Response> {
  return new Promise((resolve, reject) => {
    const call = httpsRequest(
      `${url}/mutate?timeout=10s`,
      { method: 'POST', ca, agent: false, headers: { 'content-type': 'application/json' } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve((JSON.parse(Buffer.concat(chunks).toString()) as { response: Response }).response),
        );
      },
    );
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}

function get(url: string, ca: string): Promise<{ readonly type: string | undefined; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const call = httpsRequest(url, { ca, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ type: response.headers['content-type'], text }));
    });
    call.on('error', reject).end();
  });
}

/** Why a client that trusts `ca` can't talk to it; undefined where it can. */
async function refusalBy(url: string, ca: string): Promise<string | undefined> {
  try {
    await post(url, ca, review(VMI));
    return undefined;
  } catch (error) {
    return errnoOf(error) ?? String(error);
  }
}

function patched(vmi: Vmi, { patch }: Response): Vmi {
  const operations = JSON.parse(Buffer.from(patch ?? '', 'base64').toString()) as Operation[];
  return jsonPatch.applyPatch(structuredClone(vmi), operations, true).newDocument;
}

describe('vsmmu webhook', () => {
  const ca = createAuthority('test', validity);
  beforeEach(() => writePair(issueLeaf(ca, { names: ['127.0.0.1'], validity })));

  test('gives a VMI that asks for our devices the hook sidecar, and nothing a second time', async () => {
    const { url } = await startWebhook('--hook-image', 'example/vsmmu:3', '--hook-arg=--target=override');
    const first = await post(url, ca.cert, review(VMI));
    expect(first).toMatchObject({ uid: 'u-1', allowed: true, patchType: 'JSONPatch' });
    const once = patched(VMI, first);
    expect(JSON.parse(once.metadata.annotations![HOOK_SIDECARS_ANNOTATION]!)).toEqual([
      { image: 'example/vsmmu:3', imagePullPolicy: 'IfNotPresent', args: ['hook', '--target=override'] },
    ]);
    expect(await post(url, ca.cert, review(once))).toEqual({ uid: 'u-1', allowed: true });
  });

  test('serves the resources it is told, and no others', async () => {
    const { url } = await startWebhook('--resource', 'example.com/gpu');
    expect((await post(url, ca.cert, review(VMI))).patch).toBeUndefined();
    const text = JSON.stringify(VMI).replace('vsmmu.io/10de-2941-ats', 'example.com/gpu');
    expect((await post(url, ca.cert, review(JSON.parse(text)))).patch).toBeDefined();
  });

  test('takes away a vsmmu.io/resolved that a user wrote', async () => {
    const { url } = await startWebhook();
    const forged = {
      ...VMI,
      metadata: { ...VMI.metadata, annotations: { [RESOLVED_ANNOTATION]: '{}', x: 'y' } },
    };
    const { annotations } = patched(forged, await post(url, ca.cert, review(forged))).metadata;
    expect(Object.keys(annotations ?? {}).sort()).toEqual([HOOK_SIDECARS_ANNOTATION, 'x']);
  });

  test('refuses hook sidecars it can’t append to, with field and remedy', async () => {
    const { url } = await startWebhook();
    const broken = {
      ...VMI,
      metadata: { ...VMI.metadata, annotations: { [HOOK_SIDECARS_ANNOTATION]: '{' } },
    };
    const { allowed, status } = await post(url, ca.cert, review(broken));
    expect([allowed, status?.code]).toEqual([false, 422]);
    expect(status?.message).toMatch(/hooks\.kubevirt\.io\/hookSidecars.*not JSON.*JSON array/);
  });

  test('lets everything else pass untouched', async () => {
    const { url } = await startWebhook();
    const pod = { resource: { group: '', version: 'v1', resource: 'pods' } };
    const status = { subResource: 'status' };
    for (const extra of [pod, status, { operation: 'DELETE', object: null }])
      expect(await post(url, ca.cert, review(VMI, extra))).toEqual({ uid: 'u-1', allowed: true });
  });

  test('tells in its metrics what it answered, and when its certificate ends', async () => {
    const { url } = await startWebhook();
    await post(url, ca.cert, review(VMI));
    await post(url, ca.cert, review({ ...VMI, metadata: { name: 5 } }));
    await post(url, ca.cert, { kind: 'Pod' });
    const { type, text } = await get(`${url}/metrics`, ca.cert);
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8');
    const count = (outcome: string) =>
      `vsmmu_webhook_review_seconds_count{path="/mutate",operation="CREATE",outcome="${outcome}"} 1`;
    const lines = text.split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        count('patched'),
        count('refused'),
        'vsmmu_webhook_unjudged_requests_total{code="400"} 1',
        'vsmmu_webhook_request_bytes_count 2',
        'vsmmu_webhook_in_flight 0',
        'vsmmu_webhook_ready 1',
        'vsmmu_webhook_certificates_total 1',
        `vsmmu_webhook_certificate_expiration_timestamp_seconds ${Math.floor(validity.notAfter.getTime() / 1000)}`,
      ]),
    );
  });

  test('takes up a renewed certificate without a restart', async () => {
    const { url } = await startWebhook();
    await post(url, ca.cert, review(VMI));
    const renewed = createAuthority('renewed', validity);
    writePair(issueLeaf(renewed, { names: ['127.0.0.1'], validity }));
    let refusal = await refusalBy(url, renewed.cert);
    while (refusal !== undefined) {
      expect(refusal).toMatch(/CERT|SIGNATURE|ISSUER/);
      refusal = await refusalBy(url, renewed.cert);
    }
  });

  test('exits with 0 on SIGTERM', async () => {
    const { child, url, exited } = await startWebhook();
    await post(url, ca.cert, review(VMI));
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
  });
});

describe('what keeps it from starting', () => {
  async function failure(...args: string[]): Promise<readonly [number, string]> {
    const child = spawn(process.execPath, [PROGRAM, 'webhook', ...args]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    return [code, stderr];
  }

  test('no certificate: status 3, with place and remedy', async () => {
    const [code, stderr] = await failure('--listen', ':0', '--tls-cert', file('a'), '--tls-key', file('b'));
    expect(code).toBe(3);
    expect(stderr).toMatch(/^error\[TLS_FILES\] at .*a: .*\n.*remedy: /s);
  });

  test('an address that is none, and a missing option: status 2', async () => {
    const [code, stderr] = await failure('--listen', 'x', '--tls-cert', file('a'), '--tls-key', file('b'));
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^error\[USAGE\] at --listen/)]);
    expect((await failure('--listen', ':0'))[0]).toBe(2);
  });
});

test.each<[string, string, number]>([
  ['127.0.0.1:8443', '127.0.0.1', 8443],
  [':8443', '', 8443],
  ['[::1]:0', '::1', 0],
  ['localhost:65535', 'localhost', 65535],
])('--listen %s', (text, host, port) => {
  expect(parseListen(text)).toEqual({ host, port });
});

test.each(['', '8443', '::1:8443', 'a:b', ':65536', '[x]:1'])('--listen %p is refused', (text) => {
  expect(() => parseListen(text)).toThrow(expect.objectContaining({ code: 'USAGE', place: '--listen' }));
});
