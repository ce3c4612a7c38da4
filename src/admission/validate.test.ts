import { beforeAll, describe, expect, test } from '@jest/globals';

import { describeNode } from '../cluster/describe-node.js';
import { type NodeProfile, parseNodeProfile } from '../cluster/node-profile.js';
import { openHost } from '../host/open-host.js';
import { probeHost } from '../host/probe.js';
import {
  HOOK_SIDECARS_ANNOTATION,
  REQUIRE_ANNOTATION,
  RESOLVED_ANNOTATION,
  SET_ANNOTATION,
} from '../kubevirt/annotations.js';
import { placementReasons } from './placement.js';
import type { AdmissionRequest, Verdict } from './review.js';
import { validateHandler } from './validate.js';

const IMAGE = 'example/vsmmu:1';
const HOOK = { image: IMAGE, imagePullPolicy: 'IfNotPresent' } as const;
const OURS = [{ ...HOOK, args: ['hook'] }];
const GPU = 'vsmmu.io/10de-2941-ats';

let profile: NodeProfile;

beforeAll(async () => {
  const source = await openHost({ host: 'src/cli/demo/two-gpu-host' });
  const report = await probeHost(source, { signal: new AbortController().signal });
  await source.close();
  profile = parseNodeProfile({ metadata: { name: 'gpu-7' }, spec: describeNode(report, 'gpu-7') });
});

interface Sketch {
  readonly gpus?: readonly string[];
  readonly hostDevices?: readonly string[];
  readonly sidecars?: unknown;
  readonly annotations?: Record<string, string>;
  readonly node?: string;
}

function vmi({ gpus = [], hostDevices = [], sidecars = OURS, annotations = {}, node }: Sketch) {
  const list = (names: readonly string[]) =>
    names.map((deviceName, index) => ({ name: `d${index}`, deviceName }));
  return {
    metadata: {
      name: 'vm',
      annotations: { [HOOK_SIDECARS_ANNOTATION]: JSON.stringify(sidecars), ...annotations },
    },
    spec: { domain: { devices: { gpus: list(gpus), hostDevices: list(hostDevices) } } },
    status: { nodeName: node },
  };
}

const CREATION: AdmissionRequest = {
  uid: 'u',
  operation: 'CREATE',
  resource: { group: 'kubevirt.io', version: 'v1', resource: 'virtualmachineinstances' },
  subResource: undefined,
  name: 'vm',
  namespace: 'ns',
  username: 'alice',
  groups: [],
  dryRun: false,
  object: undefined,
  oldObject: undefined,
};

function judge(sketch: Sketch, request: Partial<AdmissionRequest> = {}, profiles = [profile]): Verdict {
  return validateHandler({
    resources: ['vsmmu.io/'],
    onlyHook: HOOK,
    kubevirtNamespace: 'kubevirt',
    lookup: (node) => ({
      known: true,
      annotation: JSON.stringify({ version: 1, node, smmus: {}, groups: [], devices: {} }),
    }),
    placement: (one) => placementReasons(one, ['vsmmu.io/'], profiles),
  })({ ...CREATION, object: vmi(sketch), ...request });
}

function fields(verdict: Verdict): string[] {
  return verdict.allowed ? [] : (verdict.causes ?? []).map(({ field }) => field);
}

describe('at CREATE', () => {
  test.each<[string, Sketch]>([
    ['two of our GPUs with our hook', { gpus: [GPU, GPU] }],
    ["others' devices in both lists", { gpus: ['x/y'], hostDevices: ['x/y'], sidecars: [] }],
    ['a resource that no profile names', { gpus: ['vsmmu.io/named-by-configuration'] }],
    [
      'more devices than any node has: the scheduler waits for them',
      { gpus: Array.from({ length: 9 }, () => GPU) },
    ],
    ['features that the node has', { gpus: [GPU], annotations: { [REQUIRE_ANNOTATION]: 'accel,oas>=44' } }],
    [
      'explicit values that the SMMU has',
      { gpus: [GPU], annotations: { [SET_ANNOTATION]: 'ssidsize=8,oas=44' } },
    ],
  ])('%s is admitted', (_, sketch) => {
    expect(judge(sketch)).toEqual({ allowed: true });
  });

  test.each<[string, Sketch, string, RegExp]>([
    [
      'one device name in both lists',
      { gpus: [GPU], hostDevices: ['vsmmu.io/15b3-1023', GPU] },
      'spec.domain.devices.hostDevices[1].deviceName',
      /one list/,
    ],
    [
      "somebody else's hook beside ours",
      { gpus: [GPU], sidecars: [...OURS, { image: 'evil:1' }] },
      `metadata.annotations[${HOOK_SIDECARS_ANNOTATION}][1]`,
      /no other hook/,
    ],
    [
      'our image with a command of somebody’s own',
      { gpus: [GPU], sidecars: [{ ...OURS[0], command: ['sh'] }] },
      `metadata.annotations[${HOOK_SIDECARS_ANNOTATION}][0]`,
      /another command/,
    ],
    [
      'our hook removed by another webhook',
      { gpus: [GPU], sidecars: [] },
      `metadata.annotations[${HOOK_SIDECARS_ANNOTATION}]`,
      /missing/,
    ],
    [
      'sidecars that are no JSON',
      { gpus: [GPU], annotations: { [HOOK_SIDECARS_ANNOTATION]: '[' } },
      `metadata.annotations[${HOOK_SIDECARS_ANNOTATION}]`,
      /not JSON/,
    ],
    [
      'a vsmmu.io/resolved that came after us',
      { gpus: [GPU], annotations: { [RESOLVED_ANNOTATION]: '{}' } },
      `metadata.annotations[${RESOLVED_ANNOTATION}]`,
      /only the webhook/,
    ],
    [
      'explicit values above every SMMU',
      { gpus: [GPU], annotations: { [SET_ANNOTATION]: 'oas=52' } },
      'spec.domain.devices',
      /node gpu-7: .*oas=52/,
    ],
    [
      'features that no node has',
      { gpus: [GPU], annotations: { [REQUIRE_ANNOTATION]: 'cmdqv,oas>=52' } },
      'spec.domain.devices',
      /node gpu-7 lacks cmdqv \(it has \w+\), oas>=52/,
    ],
    [
      'a requirement that is none',
      { gpus: [GPU], annotations: { [REQUIRE_ANNOTATION]: 'speed' } },
      `metadata.annotations[${REQUIRE_ANNOTATION}]`,
      /speed/,
    ],
    [
      'a wish that sets nothing',
      { gpus: [GPU], annotations: { [SET_ANNOTATION]: 'speed=11' } },
      `metadata.annotations[${SET_ANNOTATION}]`,
      /speed=11/,
    ],
  ])('%s is refused, with field and remedy', (_, sketch, field, message) => {
    const verdict = judge(sketch);
    expect(verdict).toMatchObject({
      allowed: false,
      code: 422,
      message: expect.stringMatching(message) as unknown,
    });
    expect(fields(verdict)).toEqual([field]);
  });

  test('no node is known yet: nothing can be said, so nothing is refused', () => {
    const wish = { gpus: [GPU], annotations: { [SET_ANNOTATION]: 'oas=52' } };
    expect(judge(wish, {}, [])).toEqual({ allowed: true });
  });
});

describe('at UPDATE', () => {
  const values = (node: string) => JSON.stringify({ version: 1, node, smmus: {}, groups: [], devices: {} });
  const update = (annotation: string | undefined, username: string, old?: string) => {
    const sketch = (text: string | undefined) => ({
      gpus: [GPU],
      hostDevices: [GPU],
      node: 'gpu-7',
      annotations: text === undefined ? {} : { [RESOLVED_ANNOTATION]: text },
    });
    return judge(sketch(annotation), { operation: 'UPDATE', username, oldObject: vmi(sketch(old)) });
  };
  const forged = JSON.stringify({ version: 1, node: 'gpu-7', smmus: {}, groups: [], devices: {}, extra: 1 });

  test('what stands there already is nobody’s business: only the annotation is looked at', () => {
    expect(update(undefined, 'alice')).toEqual({ allowed: true });
    expect(update(values('gpu-7'), 'alice')).toEqual({ allowed: true });
  });

  test('a user’s own values are refused with 403', () => {
    expect(update(forged, 'alice', values('gpu-7'))).toMatchObject({ allowed: false, code: 403 });
  });

  test('another hook is refused too: the VM’s pod may not be made yet', () => {
    const old = vmi({ gpus: [GPU] });
    const changed = (sidecars: unknown) =>
      judge({ gpus: [GPU], sidecars }, { operation: 'UPDATE', username: 'alice', oldObject: old });
    const refused = changed([{ image: 'evil:1' }]);
    expect(refused).toMatchObject({ allowed: false, code: 403 });
    expect(fields(refused)).toContain(`metadata.annotations[${HOOK_SIDECARS_ANNOTATION}][0]`);
    expect(changed([])).toMatchObject({ allowed: false, code: 403 });
    expect(changed(OURS)).toEqual({ allowed: true });
  });

  test('our hook keeps the arguments that policies gave it when the VMI was created', () => {
    const ours = (...more: readonly string[]) => [{ ...HOOK, args: ['hook', ...more] }];
    const change = (before: unknown, after: unknown) =>
      judge(
        { gpus: [GPU], sidecars: after },
        { operation: 'UPDATE', username: 'alice', oldObject: vmi({ gpus: [GPU], sidecars: before }) },
      );
    const refused = change(ours('--unknown-ats=no'), ours('--unknown-ats=yes', '--unresolvable=omit'));
    expect(refused).toMatchObject({ allowed: false, code: 403 });
    expect(fields(refused)).toEqual([`metadata.annotations[${HOOK_SIDECARS_ANNOTATION}][0]`]);
    expect(change(ours(), ours('--unresolvable=omit')).allowed).toBe(false);
    expect(change([{ image: 'evil:1' }], ours('--unknown-ats=no')).allowed).toBe(true);
  });

  test('vsmmu.io/require stays: without it a VMI with claims would be nobody’s, and its hooks free', () => {
    const marked = { gpus: ['x/y'], annotations: { [REQUIRE_ANNOTATION]: '' } };
    const request = { operation: 'UPDATE', username: 'alice', oldObject: vmi(marked) } as const;
    const refused = judge({ gpus: ['x/y'] }, request);
    expect(refused).toMatchObject({ allowed: false, code: 403 });
    expect(fields(refused)).toEqual([`metadata.annotations[${REQUIRE_ANNOTATION}]`]);
    expect(judge({ ...marked, annotations: { [REQUIRE_ANNOTATION]: 'ats' } }, request).allowed).toBe(true);
  });

  test('a requirement that goes along with the hook does not hide the change', () => {
    const oldObject = vmi({ gpus: ['x/y'], annotations: { [REQUIRE_ANNOTATION]: 'ats' } });
    const request = { operation: 'UPDATE', username: 'alice', oldObject } as const;
    expect(judge({ gpus: ['x/y'], sidecars: [{ image: 'evil:1' }] }, request)).toMatchObject({ code: 403 });
  });

  test.each([
    'system:serviceaccount:kubevirt:kubevirt-controller',
    'system:serviceaccount:evil:kubevirt-controller',
  ])('%s brings values of the VM’s own node only as KubeVirt’s', (username) => {
    const older = JSON.stringify({
      ...(JSON.parse(values('gpu-7')) as object),
      smmus: { 'smmu3.0x1': { accel: 'on', ats: 'on', ril: 'on', ssidsize: 1, oas: 44 } },
    });
    expect(update(older, username).allowed).toBe(username.includes(':kubevirt:'));
    expect(update(values('gpu-8'), username).allowed).toBe(false);
  });
});

test('what is no VMI passes', () => {
  expect(judge({}, { resource: { group: '', version: 'v1', resource: 'pods' }, object: null })).toEqual({
    allowed: true,
  });
  expect(judge({}, { operation: 'DELETE', object: undefined })).toEqual({ allowed: true });
});

test('a VMI that a policy leaves alone needs no hook and no node that could serve it, but gets no other hook', () => {
  const policy = () => ({
    serve: false,
    set: undefined,
    baselineDevices: undefined,
    requirements: [],
    hookArgs: [],
  });
  const object = (sidecars: unknown) =>
    vmi({ gpus: [GPU], sidecars, annotations: { [SET_ANNOTATION]: 'oas=52' } });
  const request = (sidecars: unknown): AdmissionRequest => ({
    ...CREATION,
    object: object(sidecars),
  });
  const handler = validateHandler({
    resources: ['vsmmu.io/'],
    onlyHook: HOOK,
    kubevirtNamespace: 'kubevirt',
    lookup: () => ({ known: false, because: 'nobody asked' }),
    placement: () => ['node a cannot'],
    policy,
  });
  expect(handler(request([]))).toEqual({ allowed: true });
  expect(handler(request([{ image: 'evil:1' }]))).toMatchObject({ allowed: false, code: 422 });
});
