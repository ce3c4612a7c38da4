import { request } from 'node:http';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { malformedAnswer } from '../cluster/kube-error.js';
import { VsmmuError } from '../errors.js';
import { isTrustedHost, type PageServer, servePage } from './page-server.js';

const failures: string[] = [];
let server: PageServer;
beforeEach(async () => {
  failures.length = 0;
  server = await servePage({
    host: '127.0.0.1',
    port: 0,
    assets: new Map([
      ['/index.html', { type: 'text/html', text: '<!doctype html>' }],
      ['/page.js', { type: 'text/javascript', text: 'x'.repeat(4000) }],
    ]),
    source: {
      overview: () => ({ nodes: [] }),
      node: (name) => (name === 'gpu-1' ? Promise.resolve({ name }) : Promise.reject(notFound())),
      vm: () => Promise.reject(malformedAnswer('GET x', 'is no object')),
    },
    onFailure: (message) => failures.push(message),
  });
});
afterEach(() => server.close());

function notFound(): VsmmuError {
  return new VsmmuError('KUBE_NOT_FOUND', 'none', { remedy: 'Look again.' });
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

function ask(path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: server.port, path, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('the page server', () => {
  test.each<[string, number, string]>([
    ['/', 200, 'text/html; charset=utf-8'],
    ['/index.html', 200, 'text/html; charset=utf-8'],
    ['/page.js', 200, 'text/javascript; charset=utf-8'],
    ['/fleet.json', 200, 'application/json; charset=utf-8'],
    ['/fleet.json?x=1', 200, 'application/json; charset=utf-8'],
    ['/nodes/gpu-1.json', 200, 'application/json; charset=utf-8'],
    ['/nodes/gone.json', 404, 'text/plain; charset=utf-8'],
    ['/nodes/..%2f..%2fetc.json', 404, 'text/plain; charset=utf-8'],
    ['/../package.json', 404, 'text/plain; charset=utf-8'],
    ['/vms/shop.json', 404, 'text/plain; charset=utf-8'],
    ['//evil.example/', 404, 'text/plain; charset=utf-8'],
  ])('%s is %i', async (path, status, type) => {
    const answer = await ask(path);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe(type);
  });

  test('everything forbids scripts, frames and content from elsewhere', async () => {
    for (const path of ['/', '/fleet.json', '/none']) {
      const { headers } = await ask(path);
      expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'");
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s is refused: the page is read-only', async (method) => {
    expect((await ask('/fleet.json', {}, method)).status).toBe(405);
  });

  test('HEAD has the same headers and no body', async () => {
    const [head, get] = [await ask('/page.js', {}, 'HEAD'), await ask('/page.js')];
    expect(head.headers['content-length']).toBe(get.headers['content-length']);
    expect(head.body).toBe('');
  });

  test('what did not change is not sent again', async () => {
    const { headers } = await ask('/fleet.json');
    const again = await ask('/fleet.json', { 'if-none-match': String(headers['etag']) });
    expect([again.status, again.body]).toEqual([304, '']);
  });

  test('long answers are compressed for who takes it', async () => {
    expect((await ask('/page.js', { 'accept-encoding': 'gzip' })).headers['content-encoding']).toBe('gzip');
    expect((await ask('/page.js')).headers['content-encoding']).toBeUndefined();
  });

  test('a name of somebody else that leads to our address is refused', async () => {
    expect((await ask('/fleet.json', { host: 'evil.example' })).status).toBe(421);
    expect((await ask('/fleet.json', { host: `localhost:${server.port}` })).status).toBe(200);
  });

  test('a failure of the cluster is told, and logged', async () => {
    const { status, body } = await ask('/vms/shop/db-1.json');
    expect([status, body]).toEqual([502, "KUBE_ANSWER_MALFORMED: the API server's answer is no object\n"]);
    expect(failures).toHaveLength(1);
  });

  test('a port that is taken is a clear error', async () => {
    const taken = servePage({
      host: '127.0.0.1',
      port: server.port,
      assets: new Map(),
      source: { overview: () => ({}), node: () => Promise.resolve({}), vm: () => Promise.resolve({}) },
      onFailure: () => undefined,
    });
    await expect(taken).rejects.toMatchObject({ code: 'LISTEN_FAILED', place: `127.0.0.1:${server.port}` });
  });
});

describe('hosts', () => {
  test.each<[string | undefined, boolean]>([
    ['127.0.0.1:8080', true],
    ['localhost', true],
    ['localhost:8080', true],
    ['[::1]:8080', true],
    ['10.1.2.3', true],
    ['localhost.evil.example', false],
    ['evil.example:8080', false],
    ['', false],
    [undefined, false],
  ])('%s: %s', (host, trusted) => {
    expect(isTrustedHost(host)).toBe(trusted);
  });
});
