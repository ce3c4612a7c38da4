import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { type MetricDefinitions, Metrics } from './metrics.js';

const DEFINITIONS = {
  scans_total: { type: 'counter', labels: ['outcome'], help: 'Scans.' },
  registered: { type: 'gauge', labels: ['resource'], help: 'Registered.' },
  age_seconds: { type: 'gauge', labels: [], help: 'Age.' },
  review_seconds: { type: 'histogram', labels: ['verdict'], help: 'Reviews.', buckets: [0.001, 0.01, 1] },
} as const satisfies MetricDefinitions;

test('counters add up, label values are escaped, and a metric without values has its head alone', () => {
  const metrics = new Metrics(DEFINITIONS);
  metrics.add('scans_total', { outcome: 'ok' });
  metrics.add('scans_total', { outcome: 'ok' }, 2);
  metrics.set('registered', { resource: 'a"b\\c\nd' }, 1);
  expect(metrics.render()).toBe(
    [
      '# HELP scans_total Scans.',
      '# TYPE scans_total counter',
      'scans_total{outcome="ok"} 3',
      '# HELP registered Registered.',
      '# TYPE registered gauge',
      'registered{resource="a\\"b\\\\c\\nd"} 1',
      '# HELP age_seconds Age.',
      '# TYPE age_seconds gauge',
      '# HELP review_seconds Reviews.',
      '# TYPE review_seconds histogram',
      '',
    ].join('\n'),
  );
});

test('what a definition names is there with 0 from the start', () => {
  const metrics = new Metrics({
    scans_total: { type: 'counter', labels: ['of', 'outcome'], help: 'S.', from: [['host', 'failed']] },
    seconds: { type: 'histogram', labels: ['verdict'], help: 'R.', buckets: [1], from: [['failed']] },
  });
  metrics.add('scans_total', { of: 'host', outcome: 'failed' });
  expect(metrics.render().split('\n')).toEqual(
    expect.arrayContaining([
      'scans_total{of="host",outcome="failed"} 1',
      'seconds_bucket{verdict="failed",le="+Inf"} 0',
      'seconds_count{verdict="failed"} 0',
    ]),
  );
});

test("a histogram's buckets are cumulative, its bounds belong to the lower bucket, and each label set has its own", () => {
  const metrics = new Metrics(DEFINITIONS);
  for (const seconds of [0.0005, 0.001, 0.5, 7])
    metrics.observe('review_seconds', { verdict: 'ok' }, seconds);
  metrics.observe('review_seconds', { verdict: 'no' }, 1);
  const lines = metrics.render().split('\n');
  expect(lines.filter((line) => line.includes('verdict="ok"'))).toEqual([
    'review_seconds_bucket{verdict="ok",le="0.001"} 2',
    'review_seconds_bucket{verdict="ok",le="0.01"} 2',
    'review_seconds_bucket{verdict="ok",le="1"} 3',
    'review_seconds_bucket{verdict="ok",le="+Inf"} 4',
    'review_seconds_sum{verdict="ok"} 7.5015',
    'review_seconds_count{verdict="ok"} 4',
  ]);
  expect(lines).toContain('review_seconds_count{verdict="no"} 1');
});

test('a gauge can be forgotten, and infinity is spelled as Go reads it', () => {
  const metrics = new Metrics(DEFINITIONS);
  metrics.set('registered', { resource: 'a' }, 1);
  metrics.set('age_seconds', {}, Infinity);
  metrics.clear('registered');
  const text = metrics.render();
  expect(text).not.toContain('registered{');
  expect(text).toContain('\nage_seconds +Inf\n');
});

test('whatever a label’s value holds, it is one line from which it can be read again', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (resource) => {
      const metrics = new Metrics(DEFINITIONS);
      metrics.set('registered', { resource }, 1);
      const lines = metrics
        .render()
        .split('\n')
        .filter((line) => line.startsWith('registered{'));
      expect(lines).toHaveLength(1);
      const [, text = ''] = /^registered\{resource="(.*)"\} 1$/s.exec(lines[0] ?? '') ?? [];
      // Prometheus' text format 0.0.4 knows these three escapes.
      expect(text.replace(/\\([\\"n])/g, (_, one: string) => (one === 'n' ? '\n' : one))).toBe(resource);
    }),
  );
});

test('a histogram counts every value once, in each bucket that is not below it', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 2, noNaN: true }), { minLength: 1 }), (values) => {
      const metrics = new Metrics(DEFINITIONS);
      for (const value of values) metrics.observe('review_seconds', { verdict: 'ok' }, value);
      const text = metrics.render();
      for (const bound of [0.001, 0.01, 1]) {
        const count = values.filter((value) => value <= bound).length;
        expect(text).toContain(`review_seconds_bucket{verdict="ok",le="${bound}"} ${count}\n`);
      }
      expect(text).toContain(`review_seconds_count{verdict="ok"} ${values.length}\n`);
    }),
  );
});
