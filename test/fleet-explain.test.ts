import { describe, expect, test } from '@jest/globals';

import { DEMO, file, GPU, HOSTS, policy, text, useFolder, vsmmu } from './fleet-commands.js';

useFolder();

const vmi = (devices: readonly string[], metadata: Readonly<Record<string, unknown>> = {}) => ({
  apiVersion: 'kubevirt.io/v1',
  kind: 'VirtualMachineInstance',
  metadata: { name: 'train', namespace: 'ml', ...metadata },
  spec: { domain: { devices: { gpus: devices.map((deviceName, i) => ({ name: `gpu${i}`, deviceName })) } } },
});
const baseline = (name: string) => ({
  apiVersion: 'vsmmu.io/v1alpha1',
  kind: 'Baseline',
  metadata: { name },
  spec: { nodeSelector: {} },
});

async function explain(args: readonly string[]) {
  const { status, out, err } = await vsmmu('explain', 'vmi', ...args, '-o', 'json');
  expect(err).toBe('');
  return { status, explanation: JSON.parse(out) as Explanation };
}

interface Explanation {
  readonly touched: { readonly value: boolean | 'unknown'; readonly because: string };
  readonly unresolved?: { readonly message: string };
  readonly nodes: readonly {
    readonly node: string;
    readonly fits: string;
    readonly reasons: readonly string[];
    readonly smmus: readonly {
      readonly vsmmu?: Readonly<Record<string, unknown>>;
      readonly devices: readonly { readonly bdf: string; readonly ats: string }[];
    }[];
  }[];
  readonly policy: { readonly properties: Readonly<Record<string, unknown>> };
}

describe('vsmmu explain vmi', () => {
  test('tells node by node what each property becomes', async () => {
    const { status, explanation } = await explain(['-f', await file('vmi.yaml', vmi([GPU, GPU])), ...HOSTS]);
    expect(status).toBe(0);
    expect(explanation.touched.value).toBe(true);
    expect(explanation.nodes.map(({ node, fits }) => [node, fits])).toEqual([
      ['grace-2gpu', 'yes'],
      ['two-gpu-host', 'yes'],
    ]);
    expect(explanation.nodes[1]?.smmus.map((smmu) => smmu.vsmmu)).toMatchObject([
      { ril: 'on', ssidsize: 20 },
      { ril: 'off', ssidsize: 16 },
    ]);
  });

  test('a policy with a value that one node lacks: that node does not fit, and why', async () => {
    const objects = await file('policies.yaml', policy('cmdqv', { properties: { cmdqv: 'on' } }));
    const { status, explanation } = await explain([
      '-f',
      await file('vmi.yaml', vmi([GPU])),
      ...HOSTS,
      '--objects',
      objects,
    ]);
    expect(status).toBe(0);
    const [grace, demo] = explanation.nodes;
    expect(grace?.fits).toBe('yes');
    expect(demo?.fits).toBe('no');
    expect(demo?.reasons.join()).toContain('cmdqv=on');
  });

  test('with a value that only some SMMUs of a node have it fits partly', async () => {
    const objects = await file('policies.yaml', policy('ril', { properties: { ril: 'on' } }));
    const { explanation } = await explain([
      '-f',
      await file('vmi.yaml', vmi([GPU])),
      ...['--host', DEMO],
      '--objects',
      objects,
    ]);
    expect(explanation.nodes[0]?.fits).toBe('partly');
  });

  test('a baseline gives the same vSMMU on every node', async () => {
    const objects = await file('objects.yaml', policy('all', { baseline: 'gold' }), baseline('gold'));
    const { explanation } = await explain([
      '-f',
      await file('vmi.yaml', vmi([GPU])),
      ...HOSTS,
      '--objects',
      objects,
    ]);
    const values = explanation.nodes.flatMap(({ smmus }) => smmus.map((smmu) => JSON.stringify(smmu.vsmmu)));
    expect(values.length).toBeGreaterThan(2);
    expect(new Set(values).size).toBe(1);
    expect(values[0]).toContain('"ssidsize":16');
  });

  test('namespaces are matched by their labels', async () => {
    const objects = await file(
      'objects.yaml',
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml', labels: { tier: 'gold' } } },
      policy('off', { namespaceSelector: { matchLabels: { tier: 'gold' } }, topology: 'off' }),
    );
    const { explanation } = await explain([
      '-f',
      await file('vmi.yaml', vmi([GPU])),
      ...HOSTS,
      '--objects',
      objects,
    ]);
    expect(explanation.touched).toEqual({ value: false, because: 'topology is off (Policy off)' });
    expect(explanation.nodes).toEqual([]);
  });

  test('too few devices on every node: findings', async () => {
    const { status, explanation } = await explain([
      '-f',
      await file('vmi.yaml', vmi([GPU, GPU, GPU])),
      ...HOSTS,
    ]);
    expect(status).toBe(1);
    expect(explanation.nodes[0]?.reasons).toEqual([`it has 2 of 3 ${GPU}`]);
  });

  test('a VMI without our devices is left alone', async () => {
    const { status, out } = await vsmmu(
      'explain',
      'vmi',
      '-f',
      await file('vmi.yaml', vmi(['example.com/gpu'])),
      ...HOSTS,
    );
    expect(status).toBe(0);
    expect(out).toContain('ml/train: vsmmu leaves it alone, because it asks for no device of vsmmu.io/');
  });

  test('a VirtualMachine is explained as the VMI it makes', async () => {
    const instance = vmi([GPU], { labels: { app: 'train' } });
    const machine = {
      apiVersion: 'kubevirt.io/v1',
      kind: 'VirtualMachine',
      metadata: { name: 'train-vm', namespace: 'ml' },
      spec: { template: { metadata: { labels: { app: 'train' } }, spec: instance.spec } },
    };
    const objects = await file(
      'p.yaml',
      policy('train', { vmiSelector: { matchLabels: { app: 'train' } }, properties: { oas: 44 } }),
    );
    const { out } = await vsmmu(
      'explain',
      'vmi',
      '-f',
      await file('vm.yaml', machine),
      ...HOSTS,
      '--objects',
      objects,
    );
    expect(out).toContain('ml/train-vm: vsmmu serves it');
    expect(out).toMatch(/^oas +44 +Policy train$/m);
  });

  test('the table says which policies apply and why the others do not', async () => {
    const objects = await file(
      'p.yaml',
      policy('web', { vmiSelector: { matchLabels: { app: 'web' } }, topology: 'off' }),
      policy('all', { unknownAts: 'no' }),
    );
    const { out } = await vsmmu(
      'explain',
      'vmi',
      '-f',
      await file('v.yaml', vmi([GPU])),
      ...HOSTS,
      '--objects',
      objects,
    );
    expect(out).toMatch(/^all +yes +every selector matches$/m);
    expect(out).toMatch(/^web +no +vmiSelector: label app is missing, not web$/m);
    expect(out).toMatch(/^unknownAts +no +Policy all$/m);
  });

  test.each<[string, readonly string[], number, string]>([
    ['neither name nor file', ['--host', DEMO], 2, 'error[USAGE]'],
    ['a name with recordings', ['db', '--host', DEMO], 2, 'error[USAGE]'],
    [
      'a file that is missing',
      ['-f', 'no-such-file', '--host', DEMO],
      3,
      'error[UNREADABLE_FILE] at no-such-file',
    ],
  ])('%s is refused', async (_, args, expected, message) => {
    const { status, err, out } = await vsmmu('explain', 'vmi', ...args);
    expect(status).toBe(expected);
    expect(err).toContain(message);
    expect(out).toBe('');
  });

  test('broken YAML is refused with line and column', async () => {
    const path = await text('broken.yaml', 'kind: Policy\nmetadata: [\n');
    const { status, err } = await vsmmu('explain', 'vmi', '-f', path, '--host', DEMO);
    expect(status).toBe(3);
    expect(err).toContain(`error[UNREADABLE_FILE] at ${path}:3:`);
  });
});

describe('what the VMI itself says counts first', () => {
  const explained = async (metadata: Readonly<Record<string, unknown>>, ...objects: readonly unknown[]) => {
    const policies = objects.length === 0 ? [] : ['--objects', await file('o.yaml', ...objects)];
    return explain(['-f', await file('vmi.yaml', vmi([GPU], metadata)), ...HOSTS, ...policies]);
  };
  const set = (text: string) => ({ annotations: { 'vsmmu.io/set': text } });

  test('its values before those of policies', async () => {
    const { explanation } = await explained(
      set('ssidsize=8, ril=auto'),
      policy('p', { properties: { ssidsize: 4, ril: 'off', oas: 44 } }),
    );
    expect(explanation.policy.properties).toMatchObject({
      ssidsize: { value: 8, from: 'annotation vsmmu.io/set' },
      ril: { value: 'auto', from: 'annotation vsmmu.io/set' },
      oas: { value: 44, from: 'Policy p' },
    });
    expect(explanation.nodes[0]?.smmus[0]?.vsmmu).toMatchObject({ ssidsize: 8, ril: 'on', oas: 44 });
  });

  test('a value that the webhook wrote there for a policy still names the policy', async () => {
    const { explanation } = await explained(set('oas=44'), policy('p', { properties: { oas: 44 } }));
    expect(explanation.policy.properties['oas']).toEqual({
      value: 44,
      from: 'annotation vsmmu.io/set, as Policy p',
    });
  });

  test("a device's ATS: all, then one", async () => {
    const { explanation } = await explained(set('device.ats=off,0009:01:00.0.ats=on'));
    const grace = explanation.nodes.find(({ node }) => node === 'grace-2gpu');
    expect(grace?.smmus.flatMap(({ devices }) => devices)).toEqual([
      { bdf: '0009:01:00.0', ats: 'on' },
      { bdf: '0019:01:00.0', ats: 'off' },
    ]);
  });

  test('what it requires of nodes', async () => {
    const { explanation } = await explained({ annotations: { 'vsmmu.io/require': 'cmdqv' } });
    expect(explanation.nodes.map(({ node, fits, reasons }) => [node, fits, reasons])).toEqual([
      ['grace-2gpu', 'yes', []],
      ['two-gpu-host', 'no', ['it lacks what the VMI requires: cmdqv (it has off)']],
    ]);
  });

  test('its nodeSelector, where labels of nodes are known', async () => {
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'grace-2gpu', labels: { zone: 'a' } } };
    const object = vmi([GPU]);
    const chosen = { ...object, spec: { ...object.spec, nodeSelector: { zone: 'b' } } };
    const args = ['-f', await file('vmi.yaml', chosen), '--objects', await file('n.yaml', node)];
    const { explanation } = await explain([...args, ...HOSTS]);
    expect(explanation.nodes.map(({ fits, reasons }) => [fits, reasons])).toEqual([
      ['no', ['nodeSelector: label zone is "a", not "b"']],
      ['yes', []],
    ]);
  });

  test.each([
    ['vsmmu.io/set', 'ssidsize=many', 'WISH_MALFORMED'],
    ['vsmmu.io/require', 'speed', 'REQUIRE_MALFORMED'],
  ])('%s that cannot be read is refused with its place', async (annotation, text, code) => {
    const path = await file('vmi.yaml', vmi([GPU], { annotations: { [annotation]: text } }));
    const { status, err, out } = await vsmmu('explain', 'vmi', '-f', path, ...HOSTS);
    expect([status > 0, out]).toEqual([true, '']);
    expect(err).toContain(`error[${code}] at metadata.annotations[${annotation}]`);
  });
});

describe('vsmmu nodes and status, on recordings', () => {
  test('nodes in one table', async () => {
    const { status, out } = await vsmmu('nodes', ...HOSTS, '-o', 'wide');
    expect(status).toBe(0);
    expect(out).toMatch(/^NODE +SMMUS +ACCEL/);
    expect(out).toMatch(/^two-gpu-host +2 +2\/2 /m);
  });

  test('status counts, and tells of a policy whose baseline is missing', async () => {
    const objects = await file('p.yaml', policy('all', { baseline: 'gold' }), baseline('silver'));
    const { status, out } = await vsmmu('status', ...HOSTS, '--objects', objects);
    expect(status).toBe(1);
    expect(out).toMatch(/^nodes with a profile +2$/m);
    expect(out).toMatch(/^silver +on +off +16 +48 +off +2 +0$/m);
    expect(out).toContain('finding: Policy all names Baseline gold, which does not exist');
  });
});

describe('a VMI that asks by ResourceClaims', () => {
  const claiming = (...references: readonly Readonly<Record<string, string>>[]) => ({
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name: 'train', namespace: 'ml' },
    spec: {
      domain: {
        devices: {
          gpus: references.map((_, i) => ({ name: `g${i}`, claimName: `c${i}`, requestName: 'one' })),
        },
      },
      resourceClaims: references.map((reference, i) => ({ name: `c${i}`, ...reference })),
    },
  });
  const dra = (kind: string, name: string, spec: unknown, metadata: object = {}) => ({
    apiVersion: 'resource.k8s.io/v1',
    kind,
    metadata: { name, ...metadata },
    spec,
  });
  const requests = (deviceClassName: string) => ({
    devices: { requests: [{ name: 'one', exactly: { deviceClassName } }] },
  });
  const template = (name: string, className: string) =>
    dra('ResourceClaimTemplate', name, { spec: requests(className) });
  const deviceClass = (name: string, driver: string) =>
    dra('DeviceClass', name, { selectors: [{ cel: { expression: `device.driver == "${driver}"` } }] });
  const ours = deviceClass('vsmmu.io', 'vsmmu.io');
  const foreign = deviceClass('foreign', 'gpu.example');
  const explained = async (instance: unknown, ...objects: readonly unknown[]) =>
    explain([
      '-f',
      await file('vmi.yaml', instance),
      ...HOSTS,
      '--objects',
      await file('o.yaml', ...objects),
    ]);
  const two = { resourceClaimTemplateName: 'two' };

  test('of ours, by a template: which devices it gets nobody can say, and why', async () => {
    const { status, explanation } = await explained(claiming(two), template('two', 'vsmmu.io'), ours);
    expect(status).toBe(0);
    expect(explanation.touched).toEqual({
      value: true,
      because: 'its ResourceClaims ask for devices of vsmmu.io',
    });
    const why = expect.stringMatching(/unknown, because .* decides by selectors/) as unknown;
    expect(explanation.nodes.map(({ fits, reasons }) => [fits, reasons])).toEqual([
      ['partly', [why]],
      ['partly', [why]],
    ]);
    // What each of the node's SMMUs would give is known all the same.
    expect(explanation.nodes[1]?.smmus.map(({ vsmmu: one }) => one)).toMatchObject([
      { ril: 'on', ssidsize: 20 },
      { ril: 'off', ssidsize: 16 },
    ]);
  });

  const given = (...devices: readonly (readonly [pool: string, device: string])[]) => ({
    ...dra('ResourceClaim', 'mine', requests('vsmmu.io'), { namespace: 'ml' }),
    status: {
      allocation: {
        devices: {
          results: devices.map(([pool, device]) => ({ request: 'one', driver: 'vsmmu.io', pool, device })),
        },
      },
    },
  });

  test('of ours, by a claim that was given devices: the node, the devices and their values are known', async () => {
    const instance = claiming({ resourceClaimName: 'mine' });
    const { explanation } = await explained(instance, given(['two-gpu-host', 'pci-0019-01-00-0']), ours);
    expect(explanation.nodes.map(({ node, fits, reasons }) => [node, fits, reasons])).toEqual([
      ['grace-2gpu', 'no', ['a ResourceClaim was given 0019:01:00.0 of node two-gpu-host']],
      ['two-gpu-host', 'yes', []],
    ]);
    expect(explanation.nodes[1]?.smmus).toMatchObject([
      { vsmmu: { ril: 'off', ssidsize: 16 }, devices: [{ bdf: '0019:01:00.0', ats: 'on' }] },
    ]);
  });

  test('of ours, by a claim that was given a device which its node no longer tells of', async () => {
    const instance = claiming({ resourceClaimName: 'mine' });
    const { explanation } = await explained(instance, given(['two-gpu-host', 'pci-00ff-01-00-0']), ours);
    expect(explanation.nodes[1]).toMatchObject({
      fits: 'no',
      reasons: ['its profile has no 00ff:01:00.0, which a ResourceClaim was given'],
    });
  });

  test('of ours, by a claim that was given something under a name that is not ours to read', async () => {
    const instance = claiming({ resourceClaimName: 'mine' });
    const { explanation } = await explained(instance, given(['two-gpu-host', 'gpu-0']), ours);
    expect(explanation.nodes.map(({ fits }) => fits)).toEqual(['partly', 'partly']);
  });

  test('of ours, by a claim of its namespace; one of another namespace is another', async () => {
    const claim = (namespace: string) => dra('ResourceClaim', 'mine', requests('vsmmu.io'), { namespace });
    const instance = claiming({ resourceClaimName: 'mine' });
    expect((await explained(instance, claim('ml'), ours)).explanation.touched.value).toBe(true);
    expect((await explained(instance, claim('other'), ours)).explanation.touched).toEqual({
      value: 'unknown',
      because: 'ResourceClaim mine cannot be found',
    });
  });

  test("another driver's: it is left alone", async () => {
    const { explanation } = await explained(claiming(two), template('two', 'foreign'), foreign);
    expect(explanation).toMatchObject({
      touched: { value: false, because: expect.stringContaining('nor do its ResourceClaims') as unknown },
      nodes: [],
    });
  });

  test('what is not there leaves it unknown, and is no finding', async () => {
    for (const objects of [[policy('p', {})], [template('two', 'gone')]]) {
      const { status, explanation } = await explained(claiming(two), ...objects);
      expect(status).toBe(0);
      expect(explanation).toMatchObject({ touched: { value: 'unknown' }, nodes: [] });
      expect(explanation.touched.because).toMatch(
        /^(ResourceClaimTemplate two|DeviceClass gone) cannot be found$/,
      );
    }
    const path = await file('vmi.yaml', claiming(two));
    const { out } = await vsmmu('explain', 'vmi', '-f', path, ...HOSTS);
    expect(out).toContain(
      'ml/train: whether vsmmu serves it is unknown, because ResourceClaimTemplate two cannot be found\n',
    );
    const check = await vsmmu('check', '-f', path, ...HOSTS);
    expect([check.status, check.out]).toEqual([
      0,
      expect.stringContaining(
        'note: whether vsmmu serves it is unknown: ResourceClaimTemplate two',
      ) as unknown,
    ]);
  });

  test('marked by the webhook, as one that was created: its claims count as much', async () => {
    const instance = claiming(two);
    const marked = {
      ...instance,
      metadata: { ...instance.metadata, annotations: { 'vsmmu.io/require': '' } },
    };
    const { explanation } = await explained(marked, template('two', 'vsmmu.io'), ours);
    expect(explanation.touched).toEqual({ value: true, because: 'it states requirements' });
    expect(explanation.nodes.map(({ fits }) => fits)).toEqual(['partly', 'partly']);
    // What it states requirements for is somebody else's device: any node does.
    const other = await explained(marked, template('two', 'foreign'), foreign);
    expect(other.explanation.nodes.map(({ fits }) => fits)).toEqual(['yes', 'yes']);
  });

  test('an object that is no claim is refused with its name', async () => {
    const path = await file('vmi.yaml', claiming(two));
    const broken = await file('o.yaml', dra('ResourceClaimTemplate', 'two', { spec: { devices: 1 } }));
    const { status, err } = await vsmmu('explain', 'vmi', '-f', path, ...HOSTS, '--objects', broken);
    expect(status).toBe(3);
    expect(err).toContain('error[UNREADABLE_FILE] at ResourceClaimTemplate two');
  });
});
