import { expect, test } from '@jest/globals';
import { formatBdf, type Bdf } from '../bdf.js';
import type { Change } from './changes.js';
import { configurationEvent, eventsOf } from './node-events.js';
import { parseResourceName } from './resource-name.js';

const bdf = (bus: number): Bdf => formatBdf(0, bus, 0, 0)!;
const resource = parseResourceName('a.io/gpu');

test('a node that starts tells one thing of all its devices', () => {
  const changes = Array.from({ length: 64 }, (_, n): Change => {
    return { kind: 'advertised', device: bdf(n), resource };
  });
  const [event, ...more] = eventsOf(changes);
  expect(more).toEqual([]);
  expect(event).toMatchObject({ type: 'Normal', reason: 'DevicesAdvertised' });
  expect(event!.note).toMatch(/^64 devices as a.io\/gpu: 0000:00:00.0; .*; and 56 more$/);
});

test('what went wrong is a warning, with each reason', () => {
  const unhealthy = (n: number, reason: string): Change => {
    return { kind: 'unhealthy', device: bdf(n), resource, reason };
  };
  expect(eventsOf([unhealthy(1, '0000:01:00.0 is gone'), unhealthy(2, 'its group is not viable')])).toEqual([
    {
      type: 'Warning',
      reason: 'DevicesUnhealthy',
      action: 'Check',
      note: '2 devices of a.io/gpu: 0000:01:00.0 is gone; 0000:02:00.0: its group is not viable',
    },
  ]);
});

test('what nobody wanted advertised is no event; what only its name keeps back is', () => {
  const left: Change = { kind: 'not-advertised', device: bdf(1), reason: 'it is on nvme' };
  expect(eventsOf([left])).toEqual([]);
  expect(eventsOf([{ ...left, fault: 'collision' }])).toMatchObject([{ reason: 'DevicesNotAdvertised' }]);
});

test('a configuration that is refused says why', () => {
  expect(configurationEvent(true, undefined)).toMatchObject({ type: 'Normal' });
  expect(configurationEvent(false, '3:1: no')).toMatchObject({
    type: 'Warning',
    note: expect.stringContaining('3:1: no'),
  });
});
