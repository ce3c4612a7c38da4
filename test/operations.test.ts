import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import { runProgram } from '../src/cli/program.js';
import { capturedIo } from './captured-io.js';
import { WireApiServer } from './wire-api-server.js';

let server: WireApiServer;
let dir = '';
beforeAll(async () => {
  server = await WireApiServer.start();
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-operations-'));
  writeFileSync(
    join(dir, 'kubeconfig'),
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'c',
          cluster: {
            server: server.url,
            'certificate-authority-data': Buffer.from(server.ca).toString('base64'),
          },
        },
      ],
      users: [{ name: 'u', user: { token: 't' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
});
afterAll(async () => {
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function run(...args: readonly string[]) {
  const io = capturedIo();
  const status = await runProgram([...args, '--kubeconfig', join(dir, 'kubeconfig')], io);
  return { status, out: io.out(), err: io.err() };
}

/** Lists of one kind each; what is not named is a kind that the cluster does not have. */
function serve(
  lists: Readonly<Record<string, readonly object[]>>,
  logs: Readonly<Record<string, string>> = {},
) {
  server.answer(({ path }, response) => {
    const log = logs[path];
    const items = lists[path];
    if (log !== undefined) return response.writeHead(200, { 'content-type': 'text/plain' }).end(log);
    if (items === undefined) {
      const status = { kind: 'Status', reason: 'NotFound', message: 'no such kind', code: 404 };
      return response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify(status));
    }
    const body = JSON.stringify({ metadata: { resourceVersion: '1' }, items });
    return response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  });
}

describe('vsmmu support-bundle', () => {
  const pod = {
    metadata: { name: 'vsmmu-agent-x', namespace: 'vsmmu' },
    spec: {
      containers: [
        { name: 'agent', image: 'vsmmu:1', env: [{ name: 'PASSWORD', value: 'hunter2' }] },
        { name: 'reader', image: 'vsmmu:1' },
      ],
    },
    status: { phase: 'Running' },
  };
  const log = '/api/v1/namespaces/vsmmu/pods/vsmmu-agent-x/log';

  test('keeps logs as they are, and of pods no environment', async () => {
    const out = join(dir, 'bundle');
    serve({ '/api/v1/pods': [pod] }, { [log]: '2026-11-25T00:00:00Z {"message":"serving"}\n' });
    const { status, out: printed, err } = await run('support-bundle', out);
    expect({ status, printed, err }).toMatchObject({ status: 0, printed: `${out}\n` });
    const file = (name: string) => readFileSync(join(out, name), 'utf8');
    expect(file('logs/vsmmu_vsmmu-agent-x_agent.log')).toBe('2026-11-25T00:00:00Z {"message":"serving"}\n');
    expect(file('pods.yaml')).toContain('phase: Running');
    expect(file('pods.yaml')).not.toContain('hunter2');
    expect(server.received.some(({ path }) => path.includes('/secrets'))).toBe(false);
    expect(JSON.parse(file('bundle.json'))).toMatchObject({ format: 1, missing: [] });
  });

  test('writes over nothing', async () => {
    const out = join(dir, 'full');
    mkdirSync(out);
    writeFileSync(join(out, 'mine'), 'kept');
    const { status, err } = await run('support-bundle', out);
    expect({ status, err }).toMatchObject({
      status: 2,
      err: expect.stringMatching(/^error\[USAGE\].*not empty/),
    });
    expect(readFileSync(join(out, 'mine'), 'utf8')).toBe('kept');
  });
});

describe('vsmmu cleanup', () => {
  test('does nothing that was not named', async () => {
    const before = server.received.length;
    const { status, err } = await run('cleanup');
    expect({ status, err }).toMatchObject({ status: 2, err: expect.stringContaining('--node-labels') });
    expect(server.received.length).toBe(before);
  });

  test('takes away our labels and no others, and says what was not there', async () => {
    const labels = {
      'vsmmu.io/ats': 'on',
      'baseline.vsmmu.io/rack-a': 'member',
      'kubernetes.io/arch': 'arm64',
    };
    serve({ '/api/v1/nodes': [{ metadata: { name: 'node1', labels } }, { metadata: { name: 'node2' } }] });
    const { out } = await run(
      'cleanup',
      '--webhook-configuration',
      'w',
      '--node-labels',
      '--resource-slices',
    );
    // The patch of node1 is answered with 404 by this server: the node went away meanwhile.
    expect(out).toBe(
      'mutatingwebhookconfigurations w: was not there\nvalidatingwebhookconfigurations w: was not there\nnodes: labels removed from 0\nresourceslices of vsmmu.io: removed 0\n',
    );
    const patches = server.received.filter(({ method }) => method === 'PATCH');
    expect(patches.map(({ path, body }): unknown[] => [path, JSON.parse(body)])).toEqual([
      [
        '/api/v1/nodes/node1',
        { metadata: { labels: { 'vsmmu.io/ats': null, 'baseline.vsmmu.io/rack-a': null } } },
      ],
    ]);
  });
});
