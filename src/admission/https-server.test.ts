import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { Agent, request as httpsRequest } from 'node:https';
import { networkInterfaces } from 'node:os';
import { connect, type TLSSocket } from 'node:tls';

import { createAuthority, issueLeaf, type KeyPair } from './certificates/issue.js';
import {
  type AdmissionServer,
  type HttpsOptions,
  type ReviewHandler,
  serveAdmission,
} from './https-server.js';

const validity = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 3_600_000) };
const ca = createAuthority('test', validity);
const leaf = issueLeaf(ca, { names: ['localhost', '127.0.0.1'], validity });

const REVIEW = {
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: 'u-1',
    operation: 'CREATE',
    resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
    object: { metadata: { name: 'vm' } },
  },
};

const servers: AdmissionServer[] = [];
const agents: Agent[] = [];

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

async function serve(options: Partial<HttpsOptions> = {}): Promise<AdmissionServer> {
  const server = await serveAdmission({
    host: '127.0.0.1',
    port: 0,
    certificate: leaf,
    handlers: { '/mutate': () => ({ allowed: true }) },
    ...options,
  });
  servers.push(server);
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
  readonly response: {
    uid: string;
    allowed: boolean;
    patch?: string;
    warnings?: string[];
    status?: { code: number; reason: string; message: string };
  };
}

interface Call {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly agent?: Agent;
  readonly authority?: string;
}

test('without a host it takes IPv6 too, where the machine has it: clusters may have nothing else', async () => {
  const server = await serve({ host: '' });
  const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
    list?.some(({ family }) => family === 'IPv6'),
  );
  // Without an address of IPv6, the kernel may still take "::".
  expect(hasIpv6 ? ['::'] : ['::', '0.0.0.0']).toContain(server.address);
  expect((await call(server)).status).toBe(200);
});

function call(
  server: AdmissionServer,
  {
    path = '/mutate',
    method = 'POST',
    headers,
    body = JSON.stringify(REVIEW),
    agent,
    authority = ca.cert,
  }: Call = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port: server.port,
        path,
        method,
        ca: authority,
        agent: agent ?? false,
        headers: { 'content-type': 'application/json', ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const json = (text.startsWith('{') ? JSON.parse(text) : {}) as { response: Answer['response'] };
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: text,
            response: json.response,
          });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

function keepAlive(): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agents.push(agent);
  return agent;
}

/** A raw TLS connection, for what an HTTP client would not do. */
function raw(server: AdmissionServer): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, ca: ca.cert }, () => resolve(socket));
    socket.once('error', reject);
  });
}

function everythingUntilClosed(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

describe('a review', () => {
  test('is answered with its uid', async () => {
    const server = await serve();
    const answer = await call(server);
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'u-1', allowed: true },
    });
  });

  test('may carry a patch and warnings, the warnings cut to what an API server passes on', async () => {
    const patch = [{ op: 'add', path: '/metadata/labels', value: {} }] as const;
    const warnings = Array.from({ length: 10 }, () => 'w'.repeat(300));
    const server = await serve({ handlers: { '/mutate': () => ({ allowed: true, patch, warnings }) } });
    const { response } = await call(server);
    expect(JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString())).toEqual(patch);
    expect(response.warnings?.map(({ length }) => length)).toEqual(Array.from({ length: 8 }, () => 256));
  });

  test('may be refused, with causes', async () => {
    const causes = [{ reason: 'FieldValueInvalid', field: 'spec.x', message: 'no' }] as const;
    const server = await serve({
      handlers: { '/mutate': () => ({ allowed: false, code: 422, message: 'spec.x: no', causes }) },
    });
    const { status, response } = await call(server);
    expect(status).toBe(200);
    expect(response).toMatchObject({
      uid: 'u-1',
      allowed: false,
      status: { code: 422, reason: 'Invalid', message: 'spec.x: no', details: { causes } },
    });
  });

  test('that makes the handler throw is a 500 for that request alone', async () => {
    const onFailure = jest.fn();
    let calls = 0;
    const server = await serve({
      onFailure,
      handlers: {
        '/mutate': () => {
          if (calls++ === 0) throw new Error('broken');
          return { allowed: true };
        },
      },
    });
    expect(await call(server)).toMatchObject({ status: 500, response: { uid: 'u-1', allowed: false } });
    expect(onFailure).toHaveBeenCalledTimes(1);
    expect((await call(server)).status).toBe(200);
  });
});

describe('what is no review gets an AdmissionReview that says why', () => {
  const big = Buffer.alloc(10_000_000, 0x20);
  test.each<[string, Call, number, string]>([
    ['no JSON', { body: '{' }, 400, ''],
    ['an empty body', { body: '' }, 400, ''],
    ['null', { body: 'null' }, 400, ''],
    ['another kind', { body: JSON.stringify({ ...REVIEW, kind: 'List' }) }, 400, 'u-1'],
    [
      'an old version',
      { body: JSON.stringify({ ...REVIEW, apiVersion: 'admission.k8s.io/v1beta1' }) },
      400,
      'u-1',
    ],
    ['no uid', { body: JSON.stringify({ ...REVIEW, request: { ...REVIEW.request, uid: '' } }) }, 400, ''],
    ['another content type', { headers: { 'content-type': 'text/plain' } }, 415, ''],
    ['a compressed body', { headers: { 'content-encoding': 'gzip' } }, 415, ''],
    ['10 MB, announced', { body: big, headers: { 'content-length': String(big.length) } }, 413, ''],
    ['10 MB, in chunks', { body: big, headers: { 'transfer-encoding': 'chunked' } }, 413, ''],
    ['GET', { method: 'GET', body: '' }, 405, ''],
  ])('%s', async (_, request, status, uid) => {
    const answer = await call(await serve(), request);
    expect(answer.status).toBe(status);
    expect(answer.response).toMatchObject({ uid, allowed: false, status: { code: status } });
    expect(answer.response.status?.message).not.toBe('');
  });

  test('charset behind the content type is fine', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' };
    expect((await call(await serve(), { headers })).status).toBe(200);
  });

  test('a path that is none, and one that every object inherits', async () => {
    const server = await serve();
    for (const path of ['/', '/mutate/', '//', '/%', '/constructor', '/__proto__'])
      expect((await call(server, { path })).status).toBe(404);
  });
});

describe('limits', () => {
  test('more requests at once than allowed get 429 and a hint when to come back', async () => {
    const server = await serve({ limits: { concurrent: 1 } });
    const slow = await raw(server);
    slow.write(
      'POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{',
    );
    // The first is counted once its head has been read; until then the second is simply answered.
    let answer = await call(server);
    while (answer.status === 200) answer = await call(server);
    expect(answer.status).toBe(429);
    expect(answer.headers['retry-after']).toBe('1');
    slow.destroy();
    while (answer.status === 429) answer = await call(server);
    expect(answer.status).toBe(200);
  });

  test('a connection beyond those allowed is closed, until there is room again', async () => {
    const server = await serve({ limits: { connections: 1 } });
    const open = await raw(server);
    await expect(call(server)).rejects.toMatchObject({
      code: expect.stringMatching(/^ECONNRESET|^EPIPE/) as unknown,
    });
    open.destroy();
    let status: number | undefined;
    while (status === undefined)
      status = await call(server).then(
        ({ status: is }) => is,
        () => undefined,
      );
    expect(status).toBe(200);
  });

  test('large bodies at once hold no more memory than allowed: the next gets 429, until it is free again', async () => {
    const server = await serve({ limits: { bodiesBytes: 3000 } });
    const head = 'POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
    const slow = await raw(server);
    slow.write(`${head}Content-Length: 2901\r\n\r\n${' '.repeat(2900)}`);
    let answer = await call(server);
    while (answer.status === 200) answer = await call(server);
    expect(answer.status).toBe(429);
    expect(answer.body).toContain('too many large requests at once');
    slow.destroy();
    while (answer.status === 429) answer = await call(server);
    expect(answer.status).toBe(200);
    // What is held is given back each time, not just once.
    for (let i = 0; i < 20; i++) expect((await call(server)).status).toBe(200);
  });

  test('a body that does not come is answered before the deadline the caller set', async () => {
    const server = await serve();
    const socket = await raw(server);
    socket.write(
      'POST /mutate?timeout=100ms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{',
    );
    const text = await everythingUntilClosed(socket);
    expect(text).toMatch(/^HTTP\/1\.1 504 /);
    expect(text).toContain('"kind":"AdmissionReview"');
  });

  test('a body that comes byte by byte is answered before that deadline too, and others meanwhile', async () => {
    const server = await serve();
    const socket = await raw(server);
    socket.write(
      'POST /mutate?timeout=400ms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n',
    );
    const drip = setInterval(() => socket.write('{'), 10);
    expect((await call(server)).status).toBe(200);
    const text = await everythingUntilClosed(socket);
    clearInterval(drip);
    expect(text).toMatch(/^HTTP\/1\.1 504 /);
  });

  test('callers that break off in the middle of a body hurt no other', async () => {
    const server = await serve();
    for (let count = 0; count < 20; count++) {
      const socket = await raw(server);
      socket.write(
        'POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{',
      );
      socket.destroy();
    }
    expect((await call(server)).status).toBe(200);
  });

  test('headers that do not come end the connection', async () => {
    const server = await serve({ limits: { headersMs: 50, requestMs: 100, checkMs: 20 } });
    const socket = await raw(server);
    socket.write('POST /mutate HTTP/1.1\r\nHo');
    expect(await everythingUntilClosed(socket)).toMatch(/^(HTTP\/1\.1 408 |$)/);
  });

  test('headers that are too large are refused', async () => {
    const server = await serve();
    const socket = await raw(server);
    socket.write(`POST /mutate HTTP/1.1\r\nHost: x\r\nX-Big: ${'x'.repeat(20_000)}\r\n\r\n`);
    expect(await everythingUntilClosed(socket)).toMatch(/^HTTP\/1\.1 431 /);
  });

  test('an idle connection is kept beyond the 90 s for which Go keeps it', async () => {
    const { headers } = await call(await serve(), { agent: keepAlive() });
    expect(Number(/timeout=(\d+)/.exec(String(headers['keep-alive']))?.[1])).toBeGreaterThanOrEqual(95);
  });
});

describe('TLS', () => {
  function protocolOf(server: AdmissionServer, options: object): Promise<string | null> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: server.port, ca: ca.cert, ...options }, () => {
        resolve(socket.getProtocol());
        socket.destroy();
      });
      socket.once('error', reject);
    });
  }

  test('is 1.3 by default, and nothing older', async () => {
    const server = await serve();
    expect(await protocolOf(server, {})).toBe('TLSv1.3');
    await expect(protocolOf(server, { maxVersion: 'TLSv1.2' })).rejects.toMatchObject({ code: /^ERR_SSL/ });
  });

  test('is 1.2 where asked for', async () => {
    const server = await serve({ minVersion: 'TLSv1.2' });
    expect(await protocolOf(server, { maxVersion: 'TLSv1.2' })).toBe('TLSv1.2');
  });

  test('offers no HTTP/2', async () => {
    const server = await serve();
    const negotiated = await new Promise<string | false | null>((resolve, reject) => {
      const made = connect(
        { host: '127.0.0.1', port: server.port, ca: ca.cert, ALPNProtocols: ['h2', 'http/1.1'] },
        () => {
          resolve(made.alpnProtocol);
          made.destroy();
        },
      );
      made.once('error', reject);
    });
    expect(negotiated).toBe('http/1.1');
  });

  test('a new certificate serves new connections, and open ones go on', async () => {
    const server = await serve();
    const agent = keepAlive();
    await call(server, { agent });
    const other = createAuthority('other', validity);
    server.setCertificate(issueLeaf(other, { names: ['127.0.0.1'], validity }));
    expect((await call(server, { agent })).status).toBe(200);
    expect((await call(server, { authority: other.cert })).status).toBe(200);
    await expect(call(server)).rejects.toMatchObject({ code: /CERT|SIGNATURE|ISSUER|SELF_SIGNED/ });
  });
});

describe('client certificates, where they are asked for', () => {
  const clientCa = createAuthority('clients', validity);
  const apiServer = issueLeaf(clientCa, { names: ['kube-apiserver'], validity, usage: 'client' });
  const other = issueLeaf(clientCa, { names: ['somebody'], validity, usage: 'client' });
  const stranger = issueLeaf(createAuthority('strangers', validity), {
    names: ['kube-apiserver'],
    validity,
    usage: 'client',
  });
  const clients = { ca: clientCa.cert, names: ['kube-apiserver'] };

  test.each<[string, KeyPair | undefined, number]>([
    ['the API server’s', apiServer, 200],
    ['one of another name', other, 401],
    ['one of another authority', stranger, 401],
    ['none', undefined, 401],
  ])('%s', async (_, pair, status) => {
    const server = await serve({ clients });
    const agent = new Agent({ ...pair });
    agents.push(agent);
    const answer = await call(server, { agent });
    expect(answer.status).toBe(status);
    if (status !== 200) expect(answer.response).toMatchObject({ allowed: false, status: { code: 401 } });
    expect((await call(server, { path: '/healthz', method: 'GET', body: '' })).status).toBe(200);
  });

  test('are asked for after a reload of the own certificate too', async () => {
    const server = await serve({ clients });
    server.setCertificate(issueLeaf(ca, { names: ['127.0.0.1'], validity }));
    expect((await call(server)).status).toBe(401);
    const agent = new Agent({ ...apiServer });
    agents.push(agent);
    expect((await call(server, { agent })).status).toBe(200);
  });
});

describe('life and readiness', () => {
  test('/healthz says ok while the process lives, /readyz says what is missing', async () => {
    let missing: string | undefined = 'no certificate authority yet';
    const server = await serve({ unready: () => missing });
    expect((await call(server, { path: '/healthz', method: 'GET', body: '' })).status).toBe(200);
    const unready = await call(server, { path: '/readyz', method: 'GET', body: '' });
    expect([unready.status, unready.body]).toEqual([503, 'no certificate authority yet\n']);
    missing = undefined;
    expect((await call(server, { path: '/readyz', method: 'GET', body: '' })).status).toBe(200);
  });

  test('closing answers the request that is under way, ends its connection, and takes no new one', async () => {
    let closed: Promise<void> | undefined;
    const handler: ReviewHandler = () => {
      closed = server.close(5000);
      return { allowed: true };
    };
    const server = await serve({ handlers: { '/mutate': handler } });
    const answer = await call(server, { agent: keepAlive() });
    expect([answer.status, answer.headers['connection']]).toEqual([200, 'close']);
    await closed;
    await expect(call(server)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('closing cuts a request that never ends', async () => {
    const server = await serve();
    const socket = await raw(server);
    socket.write(
      'POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{',
    );
    const ended = everythingUntilClosed(socket);
    await server.close(10);
    expect(await ended).not.toContain('200');
  });

  test('a port that is taken is an error with a remedy', async () => {
    const { port } = await serve();
    await expect(serve({ port })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      place: `127.0.0.1:${port}`,
      remedy: expect.stringContaining('another port') as unknown,
    });
  });
});
