import { beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { openHost } from './open-host.js';
import { probeHost } from './probe.js';
import { diffReports, type HostChange } from './report-diff.js';
import type { HostReport } from './report.js';

let report: HostReport;

beforeAll(async () => {
  const source = await openHost({ host: 'src/cli/demo/two-gpu-host' });
  report = await probeHost(source);
  await source.close();
});

/** The same host with some of its devices, some of them bound to another driver. */
const seen = fc.array(fc.constantFrom('gone', 'as it is', 'rebound'), { minLength: 12, maxLength: 12 });

function host(states: readonly string[]): HostReport {
  const devices = report.devices.flatMap((device, index) => {
    const state = states[index % states.length];
    if (state === 'gone') return [];
    return [state === 'rebound' ? { ...device, driver: 'nvme' } : device];
  });
  return { ...report, devices };
}

const mirrored = (change: HostChange): HostChange => {
  if (change.kind === 'changed')
    return { ...change, fields: change.fields.map(({ name, from, to }) => ({ name, from: to, to: from })) };
  return { ...change, kind: change.kind === 'added' ? 'removed' : 'added' };
};

test('nothing changed between a host and itself, and the way back is the mirror of the way there', () => {
  fc.assert(
    fc.property(seen, seen, (one, other) => {
      const [before, after] = [host(one), host(other)];
      expect(diffReports(before, before)).toEqual([]);
      expect(diffReports(after, before)).toEqual(diffReports(before, after).map(mirrored));
    }),
  );
});
