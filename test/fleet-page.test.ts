import { describe, expect, test } from '@jest/globals';

import { parsePageAddress } from '../src/page/listen-address.js';
import { mapOfProfile } from '../src/page/node-map.js';
import { overviewOf } from '../src/page/overview.js';
import { pageVmOf } from '../src/page/page-vm.js';
import { parseBaseline } from '../src/fleet/baseline-object.js';
import { parsePolicy } from '../src/fleet/policy.js';
import { renderMapText } from '../src/map/text-tree.js';
import { parseVmi } from '../src/kubevirt/vmi.js';
import { profile, profileSpec } from './fleet-profiles.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');

describe('the overview', () => {
  const baseline = parseBaseline({
    metadata: { name: 'gold' },
    spec: { nodeSelector: {} },
    status: {
      members: ['a'],
      excluded: [{ name: 'b', reason: 'too old' }],
      conditions: [
        {
          type: 'HeldBack',
          status: 'True',
          reason: 'RunningVMs',
          message: 'under shop/db-1',
          lastTransitionTime: '',
        },
      ],
    },
  });
  const inputs = {
    profiles: [profile('b', { obstacle: 'fewer than 16 StreamID bits' }), profile('a', { ssidsize: 16 })],
    baselines: [baseline],
    vmis: [
      { key: 'shop/db-1', namespace: 'shop', labels: {}, resources: [], baseline: undefined, node: 'a' },
      {
        key: 'shop/db-2',
        namespace: 'shop',
        labels: {},
        resources: [],
        baseline: undefined,
        node: undefined,
      },
    ],
    policies: 2,
    now: NOW,
  };

  test('is sorted and says what each node can do', () => {
    const { nodes } = overviewOf(inputs);
    expect(nodes).toMatchObject([
      { name: 'a', values: { ssidsize: 16 }, because: '', vms: 1, baselines: ['gold'], stale: false },
      { name: 'b', values: null, vms: 0, baselines: [] },
    ]);
    expect(nodes[1]?.because).toContain('fewer than 16 StreamID bits');
  });

  test('tells that a baseline is held back, and who is left out', () => {
    expect(overviewOf(inputs).baselines).toMatchObject([
      { name: 'gold', heldBack: 'under shop/db-1', members: 1, excluded: [{ name: 'b', reason: 'too old' }] },
    ]);
  });

  test('does not depend on the order in which objects came', () => {
    const turned = { ...inputs, profiles: inputs.profiles.toReversed() };
    expect(JSON.stringify(overviewOf(turned))).toBe(JSON.stringify(overviewOf(inputs)));
  });
});

test('the picture of a profile tells its reasons', () => {
  const spec = profileSpec('a', { devices: [{ ready: false, ats: 'unknown' }] });
  const text = renderMapText(mapOfProfile(spec));
  expect(text).toContain('0009:01:00.0  10de:2941 vfio-pci: ATS unknown, PASID 20 bits, not ready');
  expect(text).toContain('! on driver nvme');
});

test('a VM on the page: what decides, and its XML before and after', () => {
  const vmi = parseVmi({
    metadata: { name: 'db-1', namespace: 'shop' },
    spec: { domain: { devices: { gpus: [{ name: 'g', deviceName: 'vsmmu.io/10de-2941-ats' }] } } },
  });
  const vm = pageVmOf(vmi, { vmi: {}, namespace: {} }, profile('a', { ssidsize: 16 }), {
    policies: [parsePolicy({ metadata: { name: 'p' }, spec: { properties: { oas: 44 } } })],
    baselines: new Map(),
    resources: ['vsmmu.io/'],
  });
  expect(vm.settings).toContainEqual({ name: 'oas', value: '44', from: 'Policy p' });
  expect(vm.smmus[0]?.after).toContain("ssidsize='16'");
  expect(vm.smmus[0]?.after).toContain("oas='44'");
});

describe('--page-listen', () => {
  test.each([
    ['127.0.0.1:8080', '127.0.0.1', 8080],
    ['[::1]:80', '::1', 80],
    [':8080', '127.0.0.1', 8080],
    ['8080', '127.0.0.1', 8080],
    ['0.0.0.0:0', '0.0.0.0', 0],
  ])('%s', (text, host, port) => {
    expect(parsePageAddress(text)).toEqual({ host, port });
  });

  test.each(['', 'host', '1.2.3.4:', ':70000', '::1:80'])('not %s', (text) => {
    expect(() => parsePageAddress(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
