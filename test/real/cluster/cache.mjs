import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';

const CONFIG_MAPS = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true };
const NAMESPACE = 'watched';
const COLLECTION = `/api/v1/namespaces/${NAMESPACE}/configmaps`;

export const CACHE = {
  follows: 'what is created, changed and deleted is in the cache',
  cut: 'every watch cut in the middle of changes',
  gone: 'a watch answered 410 Gone: listed anew, and what was deleted meanwhile is gone',
  throttled: '429 with Retry-After and 503 in a row, for lists and watches',
  slow: 'answers that take two seconds',
  twice: 'every event twice, and neighbours in the wrong order',
  stalled: 'a half-open connection: no byte comes, and none says so',
  garbage: 'a watch that sends half a line and ends',
  apiServer: 'the API server is killed and comes back',
  etcd: 'etcd is killed and comes back',
};

export async function cacheChecks(ctx, cluster, proxy, product) {
  const { admin } = cluster;
  await admin.create('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
  const stop = new AbortController();
  const access = product.staticAccess(proxy.url, { ca: proxy.ca, token: cluster.adminToken });
  const cache = new product.WatchCache(new product.KubeClient(access), CONFIG_MAPS, {
    namespace: NAMESPACE,
    signal: AbortSignal.any([stop.signal, ctx.signal]),
    idleMs: 5000, // the half-open connection is noticed within the check; 200 s by default
    parse: (object) => object.data?.value,
  });
  const running = cache.run();
  await cache.whenSynced();

  let generation = 0;
  /** Creates, changes and deletes, straight at the API server. */
  const churn = async () => {
    generation++;
    for (let i = 0; i < 20; i++) {
      const name = `object-${i}`;
      const body = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name },
        data: { value: `${generation}` },
      };
      if (i % 4 === generation % 4) await admin.exchange('DELETE', `${COLLECTION}/${name}`);
      else await admin.apply(`${COLLECTION}/${name}`, body);
    }
  };
  const same = async (seconds = 30) => {
    const start = performance.now();
    await eventually(
      'the cache holds what the API server holds',
      async () => {
        const { items } = await admin.get(COLLECTION);
        const wanted = Object.fromEntries(
          items.map(({ metadata, data }) => [`${NAMESPACE}/${metadata.name}`, data?.value]),
        );
        const held = Object.fromEntries([...cache.entries()].sort());
        assert.deepEqual(held, wanted);
        return true;
      },
      seconds,
    );
    return Math.round(performance.now() - start);
  };
  const under = (name, fault) =>
    ctx.check(name, async () => {
      try {
        await fault();
      } finally {
        proxy.heal();
      }
      ctx.log(`the same again ${await same()} ms after the fault`);
      await churn();
      await same();
    });

  try {
    await ctx.check(CACHE.follows, async () => {
      await churn();
      await same();
    });
    await under(CACHE.cut, async () => {
      for (let i = 0; i < 5; i++) {
        const changes = churn();
        await eventually('a watch is open', () => proxy.watches > 0);
        proxy.cutWatches();
        await changes;
      }
    });
    await under(CACHE.gone, async () => {
      proxy.refuse({ times: 1, status: 410, reason: 'Expired', watches: true });
      proxy.cutWatches();
      await churn();
      await eventually('the 410 was answered', () => proxy.refusalsLeft === 0);
    });
    await under(CACHE.throttled, async () => {
      proxy.refuse({ times: 2, status: 429, headers: { 'retry-after': '1' }, reason: 'TooManyRequests' });
      proxy.refuse({ times: 2, status: 503 });
      proxy.cutWatches();
      await churn();
      await eventually('all were answered', () => proxy.refusalsLeft === 0, 60);
    });
    await under(CACHE.slow, async () => {
      proxy.slow(2000);
      proxy.cutWatches();
      await churn();
    });
    await under(CACHE.twice, async () => {
      let held;
      proxy.rewriteEvents((line) => {
        if (held === undefined) {
          held = line;
          return [];
        }
        const lines = [line, held, line];
        held = undefined;
        return lines;
      });
      await churn();
      // An event that is still held back, or came in the wrong order, is put right by the next list.
      proxy.heal();
      proxy.refuse({ times: 1, status: 410, reason: 'Expired', watches: true });
      proxy.cutWatches();
    });
    await under(CACHE.stalled, async () => {
      const lost = new Promise((resolve) => {
        const timer = setInterval(() => {
          if (!cache.connected) resolve(clearInterval(timer));
        }, 20);
      });
      proxy.stall(true);
      await churn();
      await lost;
    });
    await under(CACHE.garbage, async () => {
      proxy.rewriteEvents((line) => {
        setImmediate(() => proxy.cutWatches());
        return [line.slice(0, line.length / 2)];
      });
      await churn();
    });
    await under(CACHE.apiServer, async () => {
      await cluster.killApiServer();
      await eventually('the cache notices', () => !cache.connected);
      assert.ok(cache.size > 0, 'the last known state is gone');
      await cluster.startApiServer();
      await churn();
    });
    await under(CACHE.etcd, async () => {
      await cluster.killEtcd();
      await cluster.startEtcd();
      await eventually('the API server is ready again', () => admin.get('/readyz'), 60);
      await eventually('it can write again', () => churn().then(() => true), 60);
    });
  } finally {
    stop.abort();
    await running;
  }
}
