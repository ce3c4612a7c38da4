import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { listOf, object, sendJson, sendStatus, WireApiServer } from '../../test/wire-api-server.js';
import { type Credentials, staticAccess } from './access.js';
import { KubeClient } from './kube-client.js';
import type { ResourceType } from './resource.js';

const PODS: ResourceType = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
const BASELINES: ResourceType = {
  group: 'vsmmu.io',
  version: 'v1alpha1',
  kind: 'Baseline',
  plural: 'baselines',
  namespaced: false,
};

let server: WireApiServer;
let client: KubeClient;
beforeEach(async () => {
  server = await WireApiServer.start();
  client = new KubeClient(staticAccess(server.url, { ca: server.ca, token: 'secret' }));
});
afterEach(async () => {
  client.close();
  await server.stop();
});

describe('requests', () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', namespace: 'shop' }, spec: {} };
  const baseline = { apiVersion: 'vsmmu.io/v1alpha1', kind: 'Baseline', metadata: { name: 'a b' } };
  const cases: readonly [
    string,
    (client: KubeClient) => Promise<unknown>,
    string,
    string,
    string | undefined,
  ][] = [
    ['get', (c) => c.get(PODS, pod.metadata), 'GET', '/api/v1/namespaces/shop/pods/a', undefined],
    ['create', (c) => c.create(PODS, pod), 'POST', '/api/v1/namespaces/shop/pods', 'application/json'],
    ['replace', (c) => c.replace(PODS, pod), 'PUT', '/api/v1/namespaces/shop/pods/a', 'application/json'],
    [
      'replace a status',
      (c) => c.replace(BASELINES, baseline, { subresource: 'status' }),
      'PUT',
      '/apis/vsmmu.io/v1alpha1/baselines/a%20b/status',
      'application/json',
    ],
    [
      'merge patch',
      (c) => c.patch(PODS, pod.metadata, { kind: 'merge', patch: { metadata: { labels: { a: null } } } }),
      'PATCH',
      '/api/v1/namespaces/shop/pods/a',
      'application/merge-patch+json',
    ],
    [
      'JSON patch',
      (c) => c.patch(PODS, pod.metadata, { kind: 'json', patch: [{ op: 'remove', path: '/spec' }] }),
      'PATCH',
      '/api/v1/namespaces/shop/pods/a',
      'application/json-patch+json',
    ],
    [
      'server-side apply',
      (c) => c.apply(BASELINES, baseline, { fieldManager: 'vsmmu', force: true }),
      'PATCH',
      '/apis/vsmmu.io/v1alpha1/baselines/a%20b',
      'application/apply-patch+yaml',
    ],
    [
      'delete',
      (c) => c.delete(PODS, pod.metadata, { uid: 'u' }),
      'DELETE',
      '/api/v1/namespaces/shop/pods/a',
      'application/json',
    ],
  ];

  test.each(cases)('%s', async (_, call, method, path, contentType) => {
    server.answer((_received, response) => sendJson(response, 200, object('a', '7')));
    await call(client);
    const [received] = server.received;
    expect(received?.method).toBe(method);
    expect(received?.path).toBe(path);
    expect(received?.headers['content-type']).toBe(contentType);
    expect(received?.headers.authorization).toBe('Bearer secret');
  });

  test('server-side apply names its field manager, and deletion what it expects to find', async () => {
    server.answer((_received, response) => sendJson(response, 200, object('a', '7')));
    await client.apply(BASELINES, baseline, { fieldManager: 'vsmmu', force: true });
    await client.delete(PODS, pod.metadata, { uid: 'u', resourceVersion: '7' });
    expect(server.received[0]?.query.get('fieldManager')).toBe('vsmmu');
    expect(server.received[0]?.query.get('force')).toBe('true');
    expect(JSON.parse(server.received[1]?.body ?? '')).toMatchObject({
      preconditions: { uid: 'u', resourceVersion: '7' },
    });
  });

  test('a list is read page by page', async () => {
    server.answers(
      (_, response) => sendJson(response, 200, listOf([object('a', '1'), object('b', '2')], '9', 'more')),
      (_, response) => sendJson(response, 200, listOf([object('c', '3')], '9')),
    );
    const objects = await client.listAll(PODS, { labelSelector: 'app=shop' });
    expect(objects.map(({ metadata }) => metadata.name)).toEqual(['a', 'b', 'c']);
    expect(server.received[0]?.query.get('limit')).toBe('500');
    expect(server.received[1]?.query.get('continue')).toBe('more');
    expect(server.received[1]?.query.get('labelSelector')).toBe('app=shop');
  });
});

describe('failures are told apart', () => {
  const statuses: readonly [number, string, string][] = [
    [400, 'BadRequest', 'KUBE_REFUSED'],
    [401, 'Unauthorized', 'KUBE_UNAUTHORIZED'],
    [403, 'Forbidden', 'KUBE_FORBIDDEN'],
    [404, 'NotFound', 'KUBE_NOT_FOUND'],
    [409, 'Conflict', 'KUBE_CONFLICT'],
    [409, 'AlreadyExists', 'KUBE_ALREADY_EXISTS'],
    [410, 'Expired', 'KUBE_GONE'],
    [422, 'Invalid', 'KUBE_REFUSED'],
    [429, 'TooManyRequests', 'KUBE_THROTTLED'],
    [500, 'InternalError', 'KUBE_UNAVAILABLE'],
    [503, 'ServiceUnavailable', 'KUBE_UNAVAILABLE'],
  ];
  test.each(statuses)('%i %s is %s', async (status, reason, code) => {
    server.answer((_, response) => sendStatus(response, status, reason, 'the message'));
    await expect(client.get(PODS, { name: 'a', namespace: 'shop' })).rejects.toMatchObject({
      code,
      status,
      message: 'the message',
      place: 'GET /api/v1/namespaces/shop/pods/a',
    });
  });

  test('the pause that the API server asks for is kept', async () => {
    server.answer((_, response) => {
      response.writeHead(429, { 'retry-after': '7' });
      response.end('busy');
    });
    await expect(client.get(PODS, { name: 'a' })).rejects.toMatchObject({
      code: 'KUBE_THROTTLED',
      retryAfterSeconds: 7,
    });
  });

  const malformed: readonly [string, string][] = [
    ['no JSON', '<html>'],
    ['cut short', '{"metadata":{"name":"a"'],
    ['no object', '[]'],
    ['no metadata', '{"kind":"Pod"}'],
    ['labels of numbers', '{"metadata":{"name":"a","labels":{"b":1}}}'],
  ];
  test.each(malformed)('an answer that is %s', async (_, text) => {
    server.answer((_received, response) => response.end(text));
    await expect(client.get(PODS, { name: 'a' })).rejects.toMatchObject({ code: 'KUBE_ANSWER_MALFORMED' });
  });

  test.each<[string, unknown]>([
    ['no items', { metadata: { resourceVersion: '1' } }],
    ['no resource version', { metadata: {}, items: [] }],
    ['an item that is no object', { metadata: { resourceVersion: '1' }, items: [7] }],
  ])('a list with %s', async (_, body) => {
    server.answer((_received, response) => sendJson(response, 200, body));
    await expect(client.listAll(PODS)).rejects.toMatchObject({ code: 'KUBE_ANSWER_MALFORMED' });
  });

  test('a connection reset in the middle of the answer', async () => {
    server.answer((received, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('{"metadata"', () => received.socket.destroy());
    });
    await expect(client.get(PODS, { name: 'a' })).rejects.toMatchObject({ code: 'KUBE_UNREACHABLE' });
  });

  test('no answer within the time limit', async () => {
    const hasty = new KubeClient(staticAccess(server.url, { ca: server.ca }), { timeoutMs: 50 });
    server.answer(() => undefined);
    await expect(hasty.get(PODS, { name: 'a' })).rejects.toMatchObject({ code: 'KUBE_UNREACHABLE' });
    hasty.close();
  });

  test('a server whose certificate another authority signed', async () => {
    const other = await WireApiServer.start();
    const wary = new KubeClient(staticAccess(server.url, { ca: other.ca, token: 'secret' }));
    await expect(wary.get(PODS, { name: 'a' })).rejects.toMatchObject({ code: 'KUBE_UNREACHABLE' });
    expect(server.received).toEqual([]);
    await other.stop();
  });
});

describe('connections and credentials', () => {
  test('a kept connection that the server closed is replaced without a failure', async () => {
    server.answer((_, response) => sendJson(response, 200, object('a', '1')));
    await client.get(PODS, { name: 'a' });
    server.answers(
      (received) => received.socket.destroy(),
      (_, response) => sendJson(response, 200, object('a', '2')),
    );
    const found = await client.get(PODS, { name: 'a' });
    expect(found.metadata.resourceVersion).toBe('2');
  });

  test('a rotated token is read again as soon as the old one is refused', async () => {
    const asked: boolean[] = [];
    const rotating = new KubeClient({
      url: server.url,
      credentials: (refused): Promise<Credentials> => {
        asked.push(refused);
        return Promise.resolve({ ca: server.ca, token: refused ? 'new' : 'old' });
      },
    });
    server.answer((received, response) => {
      if (received.headers.authorization === 'Bearer new') sendJson(response, 200, object('a', '1'));
      else sendStatus(response, 401, 'Unauthorized', 'expired');
    });
    expect((await rotating.get(PODS, { name: 'a' })).metadata.name).toBe('a');
    expect(asked).toEqual([false, true]);
    rotating.close();
  });
});
