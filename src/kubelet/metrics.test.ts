import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { Metrics, METRICS } from './metrics.js';

test('the page lists every metric as it is', () => {
  const page = readFileSync(new URL('../../docs/device-plugin.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `vsmmu_'));
  expect(rows).toEqual(
    Object.entries(METRICS).map(
      ([name, { type, labels, help }]) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
    ),
  );
});

test('renders counters, gauges and histograms in the text format', () => {
  const metrics = new Metrics();
  metrics.add('vsmmu_scans_total', { outcome: 'ok' });
  metrics.add('vsmmu_scans_total', { outcome: 'ok' });
  metrics.set('vsmmu_registered', { resource: 'a"b\\c\nd' }, 1);
  metrics.observe('vsmmu_allocate_seconds', 0.0015);
  metrics.observe('vsmmu_allocate_seconds', 3);
  const text = metrics.render();
  expect(text).toContain('# TYPE vsmmu_scans_total counter\nvsmmu_scans_total{outcome="ok"} 2\n');
  expect(text).toContain('vsmmu_registered{resource="a\\"b\\\\c\\nd"} 1\n');
  expect(text).toContain(
    'vsmmu_allocate_seconds_bucket{le="0.001"} 0\nvsmmu_allocate_seconds_bucket{le="0.002"} 1\n',
  );
  expect(text).toContain('vsmmu_allocate_seconds_bucket{le="+Inf"} 2\nvsmmu_allocate_seconds_sum 3.0015\n');
  metrics.clear('vsmmu_registered');
  expect(metrics.render()).not.toContain('vsmmu_registered{');
});
