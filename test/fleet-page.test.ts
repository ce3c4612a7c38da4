import { describe, expect, test } from '@jest/globals';

import { parsePageAddress } from '../src/page/listen-address.js';
import { mapOfProfile } from '../src/page/node-map.js';
import { overviewOf } from '../src/page/overview.js';
import { pageVmOf } from '../src/page/page-vm.js';
import { parseBaseline } from '../src/fleet/baseline-object.js';
import { parsePolicy } from '../src/fleet/policy.js';
import { renderMapText } from '../src/map/text-tree.js';
import { rewriteDomain } from '../src/domain/rewrite.js';
import { parseVmi, type Vmi } from '../src/kubevirt/vmi.js';
import type { PageVm } from '../src/page/page-fleet.js';
import { type NodeShape, profile, profileSpec } from './fleet-profiles.js';

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

describe('a VM on the page', () => {
  const vmi = (annotations: Readonly<Record<string, string>> = {}, gpus = ['g0']) =>
    parseVmi({
      metadata: { name: 'db-1', namespace: 'shop', annotations },
      spec: {
        domain: { devices: { gpus: gpus.map((name) => ({ name, deviceName: 'vsmmu.io/10de-2941-ats' })) } },
      },
    });
  const shown = (of: Vmi, spec: Readonly<Record<string, unknown>>, shape: NodeShape = { ssidsize: 16 }) =>
    pageVmOf(of, { vmi: {}, namespace: {} }, profile('a', shape), {
      policies: [parsePolicy({ metadata: { name: 'p' }, spec })],
      baselines: new Map(),
      resources: ['vsmmu.io/'],
    });
  const side = ({ domain }: PageVm, without: 'add' | 'remove') =>
    (domain?.lines ?? []).filter(({ kind }) => kind !== without).map(({ text }) => text);
  const after = (vm: PageVm) => side(vm, 'remove').join('\n');

  test('what decides', () => {
    const { settings } = shown(vmi(), { properties: { oas: 44 } });
    expect(settings).toContainEqual({ name: 'oas', value: '44', from: 'Policy p' });
  });

  test("KubeVirt's constants before, the values of node and policy after", () => {
    const vm = shown(vmi(), { properties: { oas: 44 } });
    expect(side(vm, 'add').join('\n')).toContain("ril='off' ssidSize='20' oas='48'");
    expect(after(vm)).toContain(
      "<driver pciBus='1' accel='on' cmdqv='on' ats='on' ril='on' ssidsize='16' oas='44'",
    );
    expect(after(vm)).toContain("<qemu:property name='ats' type='string' value='on'/>");
    expect(vm.domain).toMatchObject({ devices: ['0009:01:00.0'], missing: 0, errors: [] });
  });

  test('what the hook wrote once it leaves as it is', () => {
    const vm = shown(vmi(), { topology: 'complete' });
    const host = profile('a', { ssidsize: 16 }).features;
    const text = `${after(vm)}\n`;
    expect(rewriteDomain(text, host, { topology: 'complete' }).text).toBe(text);
    expect(after(vm)).toContain("<iommu model='smmuv3'>");
    expect(side(vm, 'add').join('\n')).not.toContain('<iommu');
  });

  test("the policy's word on unknown ATS", () => {
    const unknown: NodeShape = { devices: [{ ats: 'unknown' }] };
    const without = parseVmi({
      metadata: { name: 'db-1' },
      spec: { domain: { devices: { gpus: [{ name: 'g', deviceName: 'vsmmu.io/10de-2941' }] } } },
    });
    expect(after(shown(without, { unknownAts: 'no' }, unknown))).toContain(
      "name='ats' type='string' value='off'",
    );
    expect(after(shown(without, { unknownAts: 'unknown' }, unknown))).not.toContain('qemu:override');
  });

  test('a domain that the hook would refuse says why', () => {
    const { domain } = shown(vmi({ 'vsmmu.io/set': 'ssidsize=20' }), { topology: 'rewrite' });
    expect(domain?.lines).toEqual([]);
    expect(domain?.errors.join()).toContain('ssidsize=20');
  });

  test('names of requests are no XML, and devices that the node lacks are counted', () => {
    const vm = shown(vmi({}, ["'/><x>", 'two']), { topology: 'rewrite' });
    expect(after(vm)).not.toContain('<x>');
    expect(vm.domain?.missing).toBe(1);
  });

  test.each<[string, Readonly<Record<string, unknown>>]>([
    ['left alone', { topology: 'off' }],
    ['without values', { baseline: 'missing' }],
  ])('%s: no domain', (_, spec) => {
    expect(shown(vmi(), spec).domain).toBeNull();
  });
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
