import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import {
  type Answer,
  bookmark,
  listOf,
  object,
  sendEvents,
  sendJson,
  sendStatus,
  WireApiServer,
} from '../../test/wire-api-server.js';
import { staticAccess } from './access.js';
import { KubeClient } from './kube-client.js';
import type { ResourceType } from './resource.js';
import { listAndWatch, type WatchEvent } from './watch.js';
import { WatchCache } from './watch-cache.js';

const NODES: ResourceType = { group: '', version: 'v1', kind: 'Node', plural: 'nodes', namespaced: false };
const BACKOFF = { baseMs: 1, maxMs: 5 };

let server: WireApiServer;
let client: KubeClient;
let stop: AbortController;
beforeEach(async () => {
  server = await WireApiServer.start();
  client = new KubeClient(staticAccess(server.url, { ca: server.ca }));
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  client.close();
  await server.stop();
});

const list =
  (resourceVersion: string, ...names: readonly string[]): Answer =>
  (_, response) =>
    sendJson(
      response,
      200,
      listOf(
        names.map((name) => object(name, resourceVersion)),
        resourceVersion,
      ),
    );
const events =
  (...all: Parameters<typeof sendEvents> extends [unknown, ...infer E] ? E : never): Answer =>
  (_, response) =>
    sendEvents(response, ...all);
const open: Answer = (_, response) => sendEvents(response);
const added = (name: string, resourceVersion: string) => ({
  type: 'ADDED',
  object: object(name, resourceVersion),
});
const removed = (name: string, resourceVersion: string) => ({
  type: 'DELETED',
  object: object(name, resourceVersion),
});

/** Each event in short, until one matches. */
async function eventsUntil(last: string, options: { readonly idleMs?: number } = {}): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of listAndWatch(client, NODES, {
    signal: stop.signal,
    backoff: BACKOFF,
    ...options,
  })) {
    seen.push(shorten(event));
    if (seen.at(-1) === last) break;
  }
  return seen;
}

function shorten(event: WatchEvent): string {
  switch (event.type) {
    case 'listed':
      return `listed ${event.objects.map(({ metadata }) => metadata.name).join(',')}`;
    case 'changed':
    case 'deleted':
      return `${event.type} ${event.object.metadata.name}`;
    case 'lost':
      return `lost ${event.error.code}`;
    case 'relisting':
    case 'synced':
    case 'current':
      return event.type;
  }
}

/** The resource versions that watches were opened at. */
function resumedAt(): (string | null)[] {
  return server.received
    .filter(({ query }) => query.has('watch'))
    .map(({ query }) => query.get('resourceVersion'));
}

describe('list and watch', () => {
  test('lists, then tells changes and bookmarks, and asks for bookmarks', async () => {
    server.answers(list('5', 'a', 'b'), events(added('c', '6'), bookmark('8'), removed('a', '9')));
    expect(await eventsUntil('deleted a')).toEqual([
      'relisting',
      'listed a,b',
      'synced',
      'changed c',
      'current',
      'deleted a',
    ]);
    expect(server.received[1]?.query.get('allowWatchBookmarks')).toBe('true');
    expect(resumedAt()).toEqual(['5']);
  });

  test('a watch closed in good order is resumed at the last bookmark, without a new list', async () => {
    const closing: Answer = (_, response) => {
      sendEvents(response, added('c', '6'), bookmark('8'));
      response.end();
    };
    server.answers(list('5'), closing, events(added('d', '9')));
    expect(await eventsUntil('changed d')).toEqual([
      'relisting',
      'listed ',
      'synced',
      'changed c',
      'current',
      'changed d',
    ]);
    expect(resumedAt()).toEqual(['5', '8']);
  });

  test('a reset connection is told and resumed', async () => {
    const reset: Answer = (received, response) => {
      sendEvents(response, added('c', '6'));
      setImmediate(() => received.socket.destroy());
    };
    server.answers(list('5'), reset, events(added('d', '7')));
    const seen = await eventsUntil('changed d');
    expect(seen).toContain('lost KUBE_UNREACHABLE');
    expect(seen.filter((event) => event === 'relisting')).toHaveLength(1);
  });

  test('a half-open connection is given up by the watchdog and resumed', async () => {
    server.answers(list('5'), open, events(added('d', '7')));
    const told = await eventsUntil('changed d', { idleMs: 100 });
    // Where the machine is busy, the watchdog may give up the second one too.
    expect([...new Set(told)]).toEqual([
      'relisting',
      'listed ',
      'synced',
      'lost KUBE_UNREACHABLE',
      'changed d',
    ]);
    expect(resumedAt().length).toBeGreaterThanOrEqual(2);
    expect(new Set(resumedAt())).toEqual(new Set(['5']));
  });

  const gone: readonly [string, Answer][] = [
    ['as the status of the watch', (_, response) => sendStatus(response, 410, 'Expired', 'too old')],
    ['as an event', events({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } })],
  ];
  test.each(gone)('410 %s means a new list', async (_, answer) => {
    server.answers(list('5', 'a'), answer, list('20', 'b'), open);
    expect(await eventsUntil('listed b')).toEqual([
      'relisting',
      'listed a',
      'synced',
      'lost KUBE_GONE',
      'relisting',
      'listed b',
    ]);
  });

  test('410 in the middle of a list begins it again', async () => {
    server.answers(
      (_, response) => sendJson(response, 200, listOf([object('a', '1')], '5', 'more')),
      (_, response) => sendStatus(response, 410, 'Expired', 'too old'),
      list('6', 'b'),
    );
    expect(await eventsUntil('synced')).toEqual([
      'relisting',
      'listed a',
      'lost KUBE_GONE',
      'relisting',
      'listed b',
      'synced',
    ]);
  });

  const broken: readonly [string, Answer][] = [
    ['no JSON', (_, response) => response.end('{"type":"ADDED"\n')],
    ['cut short', (_, response) => response.end('{"type":"ADDED","object":{"metad')],
    ['of an unknown type', events({ type: 'SURPRISE', object: object('x', '6') })],
    ['without a resource version', events({ type: 'ADDED', object: { metadata: { name: 'x' } } })],
    ['a bookmark of nothing', events({ type: 'BOOKMARK', object: {} })],
  ];
  test.each(broken)('a line that is %s costs only the connection', async (_, answer) => {
    server.answers(list('5'), answer, events(added('d', '7')));
    expect(await eventsUntil('changed d')).toEqual([
      'relisting',
      'listed ',
      'synced',
      'lost KUBE_ANSWER_MALFORMED',
      'changed d',
    ]);
  });

  test('a position that never becomes readable is given up for a new list', async () => {
    const unreadable = events({ type: 'ADDED', object: {} });
    server.answers(list('5'), ...Array.from({ length: 5 }, () => unreadable), list('9', 'b'), open);
    const seen = await eventsUntil('listed b');
    expect(seen.filter((event) => event.startsWith('lost'))).toHaveLength(5);
  });

  test.each<[number, string]>([
    [401, 'KUBE_UNAUTHORIZED'],
    [403, 'KUBE_FORBIDDEN'],
    [404, 'KUBE_NOT_FOUND'],
    [429, 'KUBE_THROTTLED'],
    [503, 'KUBE_UNAVAILABLE'],
  ])('%i is told, and tried again', async (status, code) => {
    const refusal: Answer = (_, response) => sendStatus(response, status, 'R', 'no');
    // 401 is asked twice: the token might have been rotated.
    server.answers(refusal, ...(status === 401 ? [refusal] : []), list('5', 'a'), open);
    expect(await eventsUntil('synced')).toEqual([
      'relisting',
      `lost ${code}`,
      'relisting',
      'listed a',
      'synced',
    ]);
  });

  test('ends quietly when it is told to', async () => {
    server.answers(list('5', 'a'), open);
    const seen: string[] = [];
    for await (const event of listAndWatch(client, NODES, { signal: stop.signal, backoff: BACKOFF })) {
      seen.push(event.type);
      if (event.type === 'synced') setImmediate(() => stop.abort());
    }
    expect(seen).toEqual(['relisting', 'listed', 'synced']);
  });
});

describe('watch cache', () => {
  const cacheOf = (now?: () => number) =>
    new WatchCache(client, NODES, {
      signal: stop.signal,
      backoff: BACKOFF,
      ...(now === undefined ? {} : { now }),
      parse: ({ metadata, spec }) => {
        if (spec === 'broken') throw new TypeError('cannot be used');
        return spec === 'ignored' ? undefined : metadata.resourceVersion;
      },
    });
  const changes = (cache: WatchCache<string>, count: number) =>
    new Promise<void>((resolve) => {
      let seen = 0;
      cache.onChange(() => {
        if (++seen === count) resolve();
      });
    });

  test('follows additions, changes and deletions', async () => {
    const cache = cacheOf();
    server.answers(list('5', 'a', 'b'), events(added('c', '6'), added('a', '7'), removed('b', '8')));
    const done = changes(cache, 4);
    void cache.run();
    await done;
    expect([...cache.entries()].toSorted()).toEqual([
      ['a', '7'],
      ['c', '6'],
    ]);
    expect(cache.synced).toBe(true);
    expect(cache.connected).toBe(true);
  });

  test('a new list drops what is gone, and keeps the old state until it is complete', async () => {
    const cache = cacheOf();
    let finishList: (() => void) | undefined;
    server.answers(
      list('5', 'a', 'b'),
      (_, response) => sendStatus(response, 410, 'Expired', 'too old'),
      (_, response) => sendJson(response, 200, listOf([object('b', '20')], '20', 'more')),
      (_, response) => {
        finishList = () => sendJson(response, 200, listOf([object('c', '20')], '20'));
        secondPage();
      },
      open,
    );
    let secondPage: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      secondPage = resolve;
    });
    void cache.run();
    await asked;
    expect([...cache.entries()].map(([key]) => key)).toEqual(['a', 'b']);
    expect(cache.connected).toBe(false);
    expect(cache.lastError?.code).toBe('KUBE_GONE');
    const relisted = changes(cache, 1);
    finishList?.();
    await relisted;
    expect([...cache.entries()].map(([key]) => key)).toEqual(['b', 'c']);
  });

  test('an object that cannot be used is named and hurts no other', async () => {
    const cache = cacheOf();
    const items = [
      object('a', '1', { spec: 'broken' }),
      object('b', '2'),
      object('c', '3', { spec: 'ignored' }),
    ];
    server.answers(
      (_, response) => sendJson(response, 200, listOf(items, '5')),
      events({ type: 'MODIFIED', object: object('b', '6', { spec: 'broken' }) }, added('a', '7')),
    );
    const done = changes(cache, 3);
    void cache.run();
    await done;
    expect([...cache.entries()]).toEqual([['a', '7']]);
    expect(cache.unusable().map(({ key }) => key)).toEqual(['b']);
  });

  test('says how old its answers are', async () => {
    let clock = 1000;
    const cache = cacheOf(() => clock);
    expect(cache.staleMs).toBe(Infinity);
    server.answers(list('5', 'a'), open);
    void cache.run();
    await cache.whenSynced();
    clock += 250;
    expect(cache.staleMs).toBe(250);
  });
});
