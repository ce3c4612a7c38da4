import { afterEach, expect, test } from '@jest/globals';

import { CONTROLLER_METRICS, serveControllerEndpoint } from './controller-endpoint.js';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function served(missing: string[], leading: boolean) {
  const none = { values: () => [].values() };
  const caches = {
    missing: () => missing,
    nodes: { values: () => [{}, {}].values() },
    profiles: none,
    policies: none,
    baselines: none,
    vmis: none,
  };
  // The caches of a cluster, as far as the endpoint looks at them.
  const endpoint = await serveControllerEndpoint('127.0.0.1:0', { caches, election: { leading } });
  closers.push(() => endpoint.close());
  return async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${endpoint.port}${path}`);
    return { status: response.status, text: await response.text() };
  };
}

test('is alive before it is ready, and says what it waits for', async () => {
  const get = await served(['nodes', 'vmis'], false);
  expect(await get('/healthz')).toEqual({ status: 200, text: 'ok\n' });
  expect(await get('/readyz')).toEqual({ status: 503, text: 'not listed yet: nodes, vmis\n' });
  expect((await get('/metrics')).text).toMatch(/^vsmmu_controller_unsynced 2$/m);
});

test('is ready when all is listed, leader or not', async () => {
  for (const leading of [true, false]) {
    const get = await served([], leading);
    expect(await get('/readyz')).toEqual({ status: 200, text: 'ok\n' });
    expect((await get('/metrics')).text).toContain(`vsmmu_controller_leading ${leading ? 1 : 0}\n`);
  }
});

test('serves every metric of its table, in Prometheus’ text format', async () => {
  const { text } = await (await served([], true))('/metrics');
  for (const [name, { type }] of Object.entries(CONTROLLER_METRICS)) {
    expect(text).toContain(`# TYPE ${name} ${type}\n`);
    expect(text).toMatch(new RegExp(`^${name}(\\{[a-z]+="[a-z]+"\\})? \\d+$`, 'm'));
  }
  expect(text).toContain('vsmmu_controller_objects{kind="nodes"} 2\n');
});
