import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { openHost } from '../host/open-host.js';
import { probeHost } from '../host/probe.js';
import type { HostReport } from '../host/report.js';
import { silentLog } from '../log/log.js';
import { sendJson, sendStatus, WireApiServer } from '../../test/wire-api-server.js';
import { staticAccess } from './access.js';
import { KubeClient } from './kube-client.js';
import { ProfilePublisher } from './publish-profile.js';

const MINUTE = 60_000;

let wire: WireApiServer;
let client: KubeClient;
let report: HostReport;
let clock: number;
let stored: Record<string, unknown> | undefined;
let refuse: number;

beforeEach(async () => {
  wire = await WireApiServer.start();
  client = new KubeClient(staticAccess(wire.url, { ca: wire.ca }));
  const source = await openHost({ host: 'src/cli/demo/two-gpu-host' });
  report = await probeHost(source, { signal: new AbortController().signal });
  await source.close();
  clock = Date.parse('2026-06-01T12:00:00Z');
  stored = undefined;
  refuse = 0;
  wire.answer(({ method, path, body }, response) => {
    if (refuse > 0) {
      refuse--;
      sendStatus(response, 503, 'ServiceUnavailable', 'etcd is away');
    } else if (stored === undefined && path.endsWith('/status')) {
      sendStatus(response, 404, 'NotFound', 'no such profile'); // a status is applied to what is there
    } else if (method === 'PATCH') {
      stored = { ...stored, ...(JSON.parse(body) as object) };
      sendJson(response, 200, stored);
    } else if (stored === undefined) sendStatus(response, 404, 'NotFound', 'no such profile');
    else sendJson(response, 200, stored);
  });
});

afterEach(async () => {
  client.close();
  await wire.stop();
});

function publisher(): ProfilePublisher {
  return new ProfilePublisher({ client, node: 'gpu-7', log: silentLog, now: () => clock, random: () => 1 });
}

/** "PATCH", "PATCH status": what was written, in order. */
function writes(): string[] {
  return wire.received
    .filter(({ method }) => method !== 'GET')
    .map(({ method, path }) => `${method}${path.endsWith('/status') ? ' status' : ''}`);
}

describe('publishing', () => {
  test('writes spec and status once, and nothing while nothing changes', async () => {
    const one = publisher();
    expect(await one.publish(report)).toBe('both');
    for (let scan = 0; scan < 5; scan++) expect(await one.publish(report)).toBe('nothing');
    expect(writes()).toEqual(['PATCH', 'PATCH status']);
    expect(wire.received[1]).toMatchObject({
      path: '/apis/vsmmu.io/v1alpha1/nodeprofiles/gpu-7',
      headers: { 'content-type': 'application/apply-patch+yaml' },
    });
  });

  test('renews the status when it grew old, not the spec, by one request', async () => {
    const one = publisher();
    await one.publish(report);
    clock += 9 * MINUTE;
    expect(await one.publish(report)).toBe('nothing');
    clock += 2 * MINUTE;
    wire.received.length = 0;
    expect(await one.publish(report)).toBe('status');
    expect(wire.received).toHaveLength(1);
    expect(stored).toMatchObject({
      status: {
        renewedAt: '2026-06-01T12:11:00.000Z',
        conditions: [{ type: 'Complete', status: 'True', lastTransitionTime: '2026-06-01T12:00:00Z' }],
      },
    });
  });

  test('writes the spec when the host changed', async () => {
    const one = publisher();
    await one.publish(report);
    const [, ...others] = report.devices.filter(({ vfio }) => vfio);
    expect(await one.publish({ ...report, devices: others })).toBe('both');
    expect(stored).toMatchObject({ spec: { summary: { devices: 2 } } });
  });

  test('after a restart writes no spec that stands there already', async () => {
    await publisher().publish(report);
    // The API server gives fields back in its own order.
    const sorted: unknown = JSON.parse(JSON.stringify(stored), (_, value: unknown) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
        : value,
    );
    stored = sorted as Record<string, unknown>;
    wire.received.length = 0;
    expect(await publisher().publish(report)).toBe('status');
    expect(writes()).toEqual(['PATCH status']);
  });

  test('a restart leaves the time at which the condition changed', async () => {
    await publisher().publish(report);
    clock += MINUTE;
    await publisher().publish(report);
    expect(stored).toMatchObject({
      status: {
        renewedAt: '2026-06-01T12:01:00.000Z',
        conditions: [{ lastTransitionTime: '2026-06-01T12:00:00Z' }],
      },
    });
  });

  test('a profile that was deleted is written again after the renewal that missed it', async () => {
    const one = publisher();
    await one.publish(report);
    stored = undefined;
    clock += 11 * MINUTE;
    expect(await one.publish(report)).toBe('failed');
    expect(await one.publish(report)).toBe('both');
  });

  test('a failure is made good by the next scan, with a look at what is stored', async () => {
    const one = publisher();
    await one.publish(report);
    refuse = 1;
    clock += 11 * MINUTE;
    expect(await one.publish(report)).toBe('failed');
    stored = undefined;
    expect(await one.publish(report)).toBe('both');
  });

  test('of scans that come while one is being published, the last is published next', async () => {
    const one = publisher();
    const vfio = report.devices.filter((device) => device.vfio);
    for (const count of [3, 2, 1]) one.offer({ ...report, devices: vfio.slice(0, count) });
    while (JSON.stringify(stored ?? {}).match(/"devices":1,/) === null) await new Promise(setImmediate);
    const specs = wire.received.filter(({ path, method }) => method === 'PATCH' && !path.endsWith('/status'));
    const counts = specs.map(
      ({ body }) => (JSON.parse(body) as { spec: { summary: { devices: number } } }).spec.summary.devices,
    );
    expect(counts).toEqual([3, 1]);
  });
});
