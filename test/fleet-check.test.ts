import { describe, expect, test } from '@jest/globals';

import { file, GPU, GRACE, HOSTS, policy, useFolder, vsmmu } from './fleet-commands.js';

useFolder();

interface VmiShape {
  readonly gpus?: readonly string[];
  readonly hostDevices?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

function vmi({ gpus = [GPU], hostDevices = [], annotations = {} }: VmiShape = {}) {
  const requests = (names: readonly string[]) =>
    names.map((deviceName, i) => ({ name: `d${i}`, deviceName }));
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachineInstance',
    metadata: { name: 'train', namespace: 'ml', annotations },
    spec: { domain: { devices: { gpus: requests(gpus), hostDevices: requests(hostDevices) } } },
  };
}

describe('vsmmu check -f', () => {
  const check = async (shape: VmiShape, ...objects: readonly unknown[]) => {
    const policies = objects.length === 0 ? [] : ['--objects', await file('o.yaml', ...objects)];
    return vsmmu('check', '-f', await file('vmi.yaml', vmi(shape)), ...HOSTS, ...policies);
  };

  test('a VMI that could start says where', async () => {
    expect(await check({})).toEqual({
      status: 0,
      out: 'Nothing found that would stop VMI ml/train; 2 of 2 nodes could start it.\n',
      err: '',
    });
  });

  test.each<[string, VmiShape, readonly unknown[], RegExp]>([
    [
      'values that cannot be read',
      { annotations: { 'vsmmu.io/set': 'ssidsize=x' } },
      [],
      /^WISH_MALFORMED at metadata\.annotations\[vsmmu\.io\/set\]: "ssidsize=x"/m,
    ],
    [
      'requirements that cannot be read',
      { annotations: { 'vsmmu.io/require': 'speed' } },
      [],
      /^REQUIRE_MALFORMED at metadata\.annotations\[vsmmu\.io\/require\]/m,
    ],
    [
      'sidecars that cannot be read',
      { annotations: { 'hooks.kubevirt.io/hookSidecars': '{' } },
      [],
      /^HOOK_SIDECARS_MALFORMED at /m,
    ],
    [
      'one resource in both lists',
      { hostDevices: [GPU] },
      [],
      /^VMI_DEVICE_DOUBLED at spec\.domain\.devices\.hostDevices\[0\]\.deviceName/m,
    ],
    [
      'more than any node has',
      { gpus: [GPU, GPU, GPU] },
      [],
      /^VMI_UNPLACEABLE at spec: none of 2 nodes could start it: grace-2gpu: it has 2 of 3/m,
    ],
    [
      'a baseline that is missing',
      {},
      [policy('p', { baseline: 'gold' })],
      /^POLICY_UNRESOLVED at Policy p: Baseline gold does not exist/m,
    ],
  ])('%s', async (_, shape, objects, found) => {
    const { status, out, err } = await check(shape, ...objects);
    expect([status, err]).toEqual([1, '']);
    expect(out).toMatch(found);
    expect(out).toMatch(/^ {2}remedy: /m);
  });

  test.each<[string, VmiShape, readonly unknown[], string]>([
    [
      'without our devices',
      { gpus: ['example.com/gpu'] },
      [],
      'vsmmu leaves it alone: it asks for no device',
    ],
    ['topology off', {}, [policy('p', { topology: 'off' })], 'topology is off (Policy p)'],
    [
      'left alone where its baseline is missing',
      {},
      [policy('p', { baseline: 'gold', onUnresolved: 'leave' })],
      'Baseline gold does not exist (Policy p)',
    ],
    [
      'a resolved annotation of its own',
      { annotations: { 'vsmmu.io/resolved': '{}' } },
      [],
      "is the webhook's",
    ],
  ])('%s is a note', async (_, shape, objects, note) => {
    const { status, out } = await check(shape, ...objects);
    expect(status).toBe(0);
    expect(out).toContain(`note: `);
    expect(out).toContain(note);
  });

  test('wide also shows nodes, SMMUs and what each device gets', async () => {
    const { out } = await vsmmu('check', '-f', await file('v.yaml', vmi()), ...HOSTS, '-o', 'wide');
    expect(out).toMatch(/^NODE +FITS +SMMU .* DEVICE ATS +WHY NOT$/m);
    expect(out).toMatch(/^grace-2gpu +yes .* 0009:01:00\.0=on$/m);
  });

  test('data carry findings, notes and the explanation', async () => {
    const { out } = await vsmmu('check', '-f', await file('v.yaml', vmi()), ...HOSTS, '-o', 'json');
    expect(JSON.parse(out)).toMatchObject({
      vmi: 'ml/train',
      ok: true,
      findings: [],
      notes: [],
      explanation: { touched: { value: true } },
    });
  });

  test.each<[string, readonly string[], string]>([
    ['neither domain nor VMI', [], 'name a domain XML, or a VMI with -f'],
    ['both', ['vm.xml', '-f', 'vmi.yaml'], 'name a domain XML, or a VMI with -f'],
    ['a domain on two hosts', ['vm.xml', ...HOSTS], 'a domain is checked on one host'],
  ])('%s: usage', async (_, args, message) => {
    const { status, err, out } = await vsmmu('check', ...args);
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });
});

describe('-o wide', () => {
  test('status: models, who limits, what is held back', async () => {
    const objects = await file('o.yaml', {
      apiVersion: 'vsmmu.io/v1alpha1',
      kind: 'Baseline',
      metadata: { name: 'gold' },
      spec: { nodeSelector: {} },
    });
    const { out } = await vsmmu('status', ...HOSTS, '--objects', objects, '-o', 'wide');
    expect(out).toMatch(/^MODEL +DEVICES +READY +ATS +ATS UNKNOWN +NODES$/m);
    expect(out).toMatch(/^10de:2941 +4 +4 +4 +0 +2$/m);
    expect(out).toMatch(/^gold .* no +ril: two-gpu-host; ssidsize: two-gpu-host; cmdqv: two-gpu-host$/m);
  });

  test('baseline: what leaving a node out would change', async () => {
    const { out } = await vsmmu('baseline', ...HOSTS, '-o', 'wide');
    expect(out).toMatch(/^two-gpu-host +without it +a VM would gain ril off -> on, ssidsize 16 -> 20/m);
  });

  test('explain vmi: what each device gets', async () => {
    const path = await file('v.yaml', vmi());
    const { out } = await vsmmu('explain', 'vmi', '-f', path, ...HOSTS, '-o', 'wide');
    expect(out).toMatch(/^NODE .* DEVICE ATS +WHY NOT$/m);
  });

  test('check of a domain: the values that it rests on', async () => {
    const domain = 'test/fixtures/domain/two-vsmmus.xml';
    const { out } = await vsmmu('check', domain, '--host', GRACE, '-o', 'wide');
    expect(out).toMatch(/^DEVICE +KERNEL ON ATS +SMMU +ATS +RIL +SSIDSIZE +OAS +CMDQV$/m);
  });
});
