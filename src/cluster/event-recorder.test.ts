import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { sendJson, sendStatus, WireApiServer, type Received } from '../../test/wire-api-server.js';
import { silentLog } from '../log/log.js';
import { staticAccess } from './access.js';
import { EventRecorder, type EventRecorderOptions, type ToldEvent } from './event-recorder.js';
import { KubeClient } from './kube-client.js';

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const told = (note: string): ToldEvent => ({ type: 'Warning', reason: 'Reason', action: 'Act', note });

let api: WireApiServer;
let client: KubeClient;
let now: number;
let stop: AbortController;
let running: Promise<void> | undefined;
let warned: unknown[];
let outcomes: string[];

beforeEach(async () => {
  api = await WireApiServer.start();
  client = new KubeClient(staticAccess(api.url, { ca: api.ca }));
  now = Date.parse('2026-01-01T00:00:00Z');
  stop = new AbortController();
  [warned, outcomes] = [[], []];
});
afterEach(async () => {
  stop.abort();
  await running;
  client.close();
  await api.stop();
});

function recorder(options: Partial<EventRecorderOptions> = {}): EventRecorder {
  const made = new EventRecorder({
    client,
    regarding: { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'node-1' },
    controller: 'vsmmu.io/agent',
    instance: 'node-1',
    log: { ...silentLog, warn: (_, fields) => warned.push(fields) },
    onWritten: (outcome) => outcomes.push(outcome),
    now: () => now,
    ...options,
  });
  running = made.run(stop.signal);
  return made;
}

async function writes(count: number): Promise<Received[]> {
  const giveUp = performance.now() + 15_000;
  while (outcomes.filter((outcome) => outcome === 'ok').length < count && performance.now() < giveUp)
    await new Promise((resolve) => setTimeout(resolve, 5));
  return api.received;
}

const echo: Parameters<WireApiServer['answer']>[0] = ({ body }, response) =>
  sendJson(response, 201, { metadata: { name: 'x' }, ...(JSON.parse(body) as object) });

describe('an event', () => {
  test('is about the node, in the namespace of what has none', async () => {
    api.answer(echo);
    recorder().tell(told('it broke'));
    const [{ method, path, body } = { method: '', path: '', body: '{}' }] = await writes(1);
    expect([method, path]).toEqual(['POST', EVENTS]);
    expect(JSON.parse(body)).toEqual({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: expect.stringMatching(/^node-1\.[0-9a-f]{16}$/), namespace: 'default' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'vsmmu.io/agent',
      reportingInstance: 'node-1',
      action: 'Act',
      reason: 'Reason',
      type: 'Warning',
      regarding: { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'node-1' },
      note: 'it broke',
    });
  });

  test('too long is cut', async () => {
    api.answer(echo);
    recorder().tell(told('x'.repeat(5000)));
    const [{ body } = { body: '{}' }] = await writes(1);
    expect((JSON.parse(body) as { note: string }).note).toHaveLength(1024);
  });

  test('that comes again while it waits is one, with a count', async () => {
    api.answers((_, response) => sendStatus(response, 503, 'ServiceUnavailable', 'no'), echo);
    const events = recorder();
    for (let n = 0; n < 3; n++) events.tell(told('again'));
    await writes(1);
    expect(JSON.parse(api.received.at(-1)!.body)).toMatchObject({
      series: { count: 3, lastObservedTime: '2026-01-01T00:00:00.000000Z' },
    });
  });
});

describe('the API server', () => {
  test('that is away is tried again', async () => {
    api.answers((_, response) => sendStatus(response, 503, 'ServiceUnavailable', 'no'), echo);
    recorder().tell(told('late'));
    await writes(1);
    expect(outcomes).toEqual(['failed', 'ok']);
    expect(warned).toEqual([]);
  });

  test('that forbids it is told once in the log', async () => {
    api.answer((_, response) => sendStatus(response, 403, 'Forbidden', 'no right'));
    const events = recorder();
    events.tell(told('a'));
    events.tell(told('b'));
    while (outcomes.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(warned).toHaveLength(1);
  });

  test('is not flooded: what comes too fast is counted, and the oldest of too many dropped', async () => {
    api.answer(echo);
    const events = recorder({ refillMs: 3_600_000 });
    for (let n = 0; n < 25; n++) events.tell(told(`first ${n}`));
    await writes(25);
    for (let n = 0; n < 100; n++) events.tell(told(`more ${n}`));
    for (let n = 0; n < 1000; n++) events.tell(told('more 99'));
    expect(outcomes.filter((outcome) => outcome === 'dropped')).toHaveLength(36);
    expect(api.received).toHaveLength(25);
  });
});
