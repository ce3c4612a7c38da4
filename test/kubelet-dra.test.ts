import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { staticAccess } from '../src/cluster/access.js';
import { EventRecorder } from '../src/cluster/event-recorder.js';
import { KubeClient } from '../src/cluster/kube-client.js';
import { DRAPlugin } from '../src/gen/kubelet/dra/v1/api_pb.js';
import { DRAPlugin as DRAPluginBeta } from '../src/gen/kubelet/dra/v1beta1/api_pb.js';
import { DRAResourceHealth, HealthStatus } from '../src/gen/kubelet/drahealth/v1alpha1/api_pb.js';
import { Registration } from '../src/gen/kubelet/pluginregistration/v1/api_pb.js';
import { unixClient } from '../src/grpc/client.js';
import { DraDriver } from '../src/kubelet/dra/dra-driver.js';
import type { BusyCheck } from '../src/kubelet/group-busy.js';
import { startAgent } from '../src/kubelet/start-agent.js';
import { silentLog, type Log } from '../src/log/log.js';
import { DraApiServer } from './kubelet-api.js';
import { HostTree, type FunctionOfHost } from './kubelet-host.js';
import { KubeletPeer, until } from './kubelet-peer.js';

const GPU = 'vsmmu.io/10de-2941';
const one: FunctionOfHost = { bdf: '0009:01:00.0', group: 11, numa: 1, ats: true, pasidBits: 20 };
const mate: FunctionOfHost = { bdf: '0009:01:00.1', group: 11, numa: 1 };
const other: FunctionOfHost = { bdf: '0019:01:00.0', group: 12, numa: null, ats: false, pasidBits: 0 };

let dir: string;
let kubelet: KubeletPeer;
let api: DraApiServer;
let stops: (() => Promise<void>)[];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
  kubelet = new KubeletPeer(join(dir, 'k'));
  api = await DraApiServer.start();
  mkdirSync(join(kubelet.root, 'plugins_registry'), { recursive: true });
  stops = [];
});
afterEach(async () => {
  for (const stop of stops) await stop();
  await api.wire.stop();
  await kubelet.close();
  rmSync(dir, { recursive: true, force: true });
});

interface Given {
  readonly log?: Log;
  readonly isBusy?: BusyCheck;
  readonly configFile?: string;
}

function start(functions: readonly FunctionOfHost[], { log = silentLog, isBusy, configFile }: Given = {}) {
  const host = new HostTree(mkdtempSync(join(dir, 'h')), functions);
  const abort = new AbortController();
  const client = new KubeClient(staticAccess(api.wire.url, { ca: api.wire.ca }));
  const shared = {
    kubeletDir: kubelet.root,
    source: host.source,
    stateDir: join(dir, 'state'),
    cdiDir: join(dir, 'cdi'),
    iommufd: 'auto',
    isBusy,
    log,
  } as const;
  const running = startAgent(
    {
      ...shared,
      scan: () => host.report(),
      configFile,
      http: undefined,
      mode: 'register',
      rescanMs: 20,
      hints: [],
      driver: new DraDriver({ ...shared, client, nodeName: 'node-1' }),
      events: (onWritten) =>
        new EventRecorder({
          client,
          regarding: { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'node-1' },
          controller: 'vsmmu.io/agent',
          instance: 'node-1',
          log,
          onWritten,
        }),
    },
    abort.signal,
  );
  let stopped: Promise<void> | undefined;
  const stop = () =>
    (stopped ??= (async () => {
      abort.abort();
      await running;
      client.close();
    })());
  stops.push(stop);
  return { host, stop };
}

const endpoint = () => join(kubelet.root, 'plugins/vsmmu.io/dra.sock');
const registrySocket = () => join(kubelet.root, 'plugins_registry/vsmmu.io-reg.sock');

async function served() {
  await until(() => existsSync(registrySocket()));
  const client = unixClient(DRAPlugin, endpoint());
  stops.unshift(() => {
    client.close();
    return Promise.resolve();
  });
  const claim = (name: string, uid: string) => ({ namespace: 'vms', name, uid });
  return {
    prepare: async (name: string, uid: string) =>
      (await client.call.nodePrepareResources({ claims: [claim(name, uid)] })).claims[uid]!,
    unprepare: async (name: string, uid: string) =>
      (await client.call.nodeUnprepareResources({ claims: [claim(name, uid)] })).claims[uid]!,
    client,
  };
}

describe('ResourceSlices', () => {
  test('tell every attribute of every device, false or 0 where it is not known, and which are not', async () => {
    start([one, { ...other, smmu: 'smmu3.0x2' }, { bdf: '0029:01:00.0', group: 13, numa: 'silent' }]);
    const [first, second, third] = await until(() => api.devices.length === 3 && api.devices);
    expect(first).toEqual({
      name: 'pci-0009-01-00-0',
      attributes: {
        'resource.kubernetes.io/pciBusID': { string: '0009:01:00.0' },
        'resource.kubernetes.io/pcieRoot': { string: 'pci0009:01' },
        'resource.kubernetes.io/numaNode': { int: 1 },
        ats: { bool: true },
        pasid: { bool: true },
        pasidBits: { int: 20 },
        ssidsize: { int: 0 },
        oas: { int: 0 },
        ril: { bool: false },
        cmdqv: { bool: false },
        accel: { bool: false },
        unknown: { string: 'ssidsize,oas,ril,cmdqv,accel' },
        smmu: { string: 'smmu3.0x1' },
        iommuGroup: { int: 11 },
        groupSize: { int: 1 },
        vendor: { string: '10de' },
        device: { string: '2941' },
        class: { string: '030200' },
        driver: { string: 'vfio-pci' },
      },
    });
    expect(second!.attributes['smmu']).toEqual({ string: 'smmu3.0x2' });
    expect(second!.attributes['ats']).toEqual({ bool: false });
    expect(third!.attributes['unknown']!['string']).toMatch(/^ats,pasid,pasidBits/);
    expect(third!.attributes['resource.kubernetes.io/numaNode']).toBeUndefined();
    const [slice] = [...api.slices.values()];
    expect(slice!.metadata).toMatchObject({
      name: '00000-vsmmu.io-node-1',
      ownerReferences: [{ kind: 'Node', name: 'node-1', uid: 'node-uid', controller: true }],
    });
    expect(slice!.spec).toMatchObject({
      driver: 'vsmmu.io',
      nodeName: 'node-1',
      pool: { name: 'node-1', generation: 1, resourceSliceCount: 1 },
    });
  });

  test('are written once, and again only for a change, with the next generation', async () => {
    const { host } = start([one]);
    await until(() => api.devices.length === 1);
    host.plug(other);
    await until(() => api.devices.length === 2);
    expect([...api.slices.values()].map(({ spec }) => spec.pool.generation)).toEqual([2]);
    expect(api.writes).toBe(2);
  });

  test('come back after a kubelet wiped them', async () => {
    start([one]);
    await until(() => api.devices.length === 1);
    api.wipeSlices();
    await until(() => api.devices.length === 1);
  });

  test('say an unhealthy device by a taint, and mates of one in use', async () => {
    await kubelet.start();
    const { host } = start([one, mate, other]);
    await until(() => api.devices.length === 3 && kubelet.health(`${GPU}-ats`));
    host.unplug(other.bdf);
    const taint = (name: string) => api.devices.find((device) => device.name === name)?.taints?.[0];
    await until(() => taint('pci-0019-01-00-0')?.value === 'unhealthy');
    await kubelet.allocate(`${GPU}-ats`, one.bdf);
    await until(() => taint('pci-0009-01-00-1')?.value === 'in-use');
    expect(taint('pci-0009-01-00-0')).toMatchObject({
      key: 'vsmmu.io/unusable',
      value: 'in-use',
      effect: 'NoSchedule',
    });
    expect(taint('pci-0019-01-00-0')).toMatchObject({ effect: 'NoSchedule' });
  });

  test('leave unusable devices out where the API server drops taints', async () => {
    api.dropTaints = true;
    const { host } = start([one, other]);
    await until(() => api.devices.length === 2);
    host.unplug(other.bdf);
    await until(() => api.devices.length === 1);
    expect(api.devices[0]!.name).toBe('pci-0009-01-00-0');
  });

  test('are cut at the limits of the API, and leave no old slice behind', async () => {
    const many = Array.from({ length: 130 }, (_, n): FunctionOfHost => {
      const slot = (n >> 3).toString(16).padStart(2, '0');
      return { bdf: `0000:${slot}:00.${n & 7}`, group: n };
    });
    const { host } = start(many);
    await until(() => api.devices.length === 130);
    expect([...api.slices.values()].map(({ spec }) => spec.devices.length)).toEqual([128, 2]);
    host.unplug(many[0]!.bdf);
    await until(() => api.slices.size === 3);
    expect([...api.slices.values()].map(({ spec }) => spec.devices.length)).toEqual([64, 64, 2]);
    host.plug(many[0]!);
    await until(() => api.slices.size === 2);
    const pools = [...api.slices.values()].map(({ spec }) => spec.pool);
    expect(new Set(pools.map(({ generation }) => generation)).size).toBe(1);
    expect(pools.every(({ resourceSliceCount }) => resourceSliceCount === 2)).toBe(true);
  });

  test('are not written for ever where the API server keeps less than was sent', async () => {
    api.dropAttribute = 'groupSize';
    const warned: string[] = [];
    const { host } = start([one], { log: { ...silentLog, warn: (message) => warned.push(message) } });
    await until(() => api.devices.length === 1);
    host.plug(other);
    await until(() => api.devices.length === 2);
    // A write answers the watch; without an end each would call for the next within 100 ms.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(api.writes).toBe(2);
    expect(warned).toEqual(['The API server drops fields of ResourceSlices; it may be too old.']);
  });

  test('belong to the Node as it is now, also when it was made anew', async () => {
    start([one]);
    await until(() => api.devices.length === 1);
    api.nodeUid = 'made anew';
    api.wipeSlices();
    await until(() => api.devices.length === 1);
    const [slice] = [...api.slices.values()];
    expect(slice!.metadata).toMatchObject({ ownerReferences: [{ uid: 'made anew' }] });
  });

  test('are tried again when the API server fails', async () => {
    api.fail = 500;
    start([one]);
    await until(() => api.writes > 1);
    api.fail = undefined;
    await until(() => api.devices.length === 1);
  });
});

describe('the kubelet', () => {
  test('finds the driver by its registration socket', async () => {
    start([one]);
    await until(() => existsSync(registrySocket()));
    expect(existsSync(endpoint())).toBe(true);
    const client = unixClient(Registration, registrySocket());
    expect(await client.call.getInfo({})).toMatchObject({
      type: 'DRAPlugin',
      name: 'vsmmu.io',
      endpoint: endpoint(),
      supportedVersions: [
        'v1.DRAPlugin',
        'v1beta1.DRAPlugin',
        'v1.DRAResourceHealth',
        'v1alpha1.DRAResourceHealth',
      ],
    });
    client.close();
  });

  test.each([
    ['registration', registrySocket],
    ['driver', endpoint],
  ])('finds it again after its %s socket was removed', async (_, path) => {
    start([one]);
    await until(() => existsSync(registrySocket()));
    unlinkSync(path());
    await until(() => existsSync(path()));
    await served();
  });

  test('hears the health of every device, at once and after each change', async () => {
    const { host } = start([one, other]);
    await until(() => existsSync(registrySocket()));
    const client = unixClient(DRAResourceHealth, endpoint());
    const stream = client.call.nodeWatchResources({})[Symbol.asyncIterator]();
    const next = async () => {
      const { value } = (await stream.next()) as {
        value: { devices: { health: HealthStatus; message: string }[] };
      };
      return value.devices.map(({ health, message }) => [health, message]);
    };
    expect(await next()).toEqual([
      [HealthStatus.HEALTHY, ''],
      [HealthStatus.HEALTHY, ''],
    ]);
    host.unplug(other.bdf);
    expect(await next()).toEqual([
      [HealthStatus.HEALTHY, ''],
      [HealthStatus.UNHEALTHY, expect.stringMatching(/^0019:01:00.0 is gone from the host: /)],
    ]);
    client.close();
  });
});

test('Events tell what becomes of devices', async () => {
  const { host } = start([one, other]);
  const reasons = () => api.events.map(({ reason, note }) => `${reason}: ${note}`);
  await until(() => api.events.length === 2);
  expect(reasons().sort()).toEqual([
    'DevicesAdvertised: 1 device as vsmmu.io/10de-2941-ats: 0009:01:00.0',
    'DevicesAdvertised: 1 device as vsmmu.io/10de-2941: 0019:01:00.0',
  ]);
  host.unplug(other.bdf);
  await until(() => api.events.length === 3);
  expect(reasons().at(-1)).toMatch(
    /^DevicesUnhealthy: 1 device of vsmmu.io\/10de-2941: 0019:01:00.0: .*gone/,
  );
  host.plug(other);
  await until(() => api.events.length === 4);
  expect(reasons().at(-1)).toMatch(/^DevicesHealthy: 1 device of vsmmu.io\/10de-2941 healthy again: 0019/);
});

describe('a claim', () => {
  const specs = () => (existsSync(join(dir, 'cdi')) ? readdirSync(join(dir, 'cdi')) : []);
  const spec = (uid: string) =>
    JSON.parse(readFileSync(join(dir, `cdi/vsmmu.io-claim-${uid}.json`), 'utf8')) as {
      kind: string;
      devices: {
        name: string;
        containerEdits: {
          deviceNodes: { path: string }[];
          mounts?: { hostPath: string; containerPath: string }[];
        };
      }[];
    };

  test('is prepared with its nodes and its metadata, and leaves nothing when unprepared', async () => {
    const { host } = start([one, other]);
    const { prepare, unprepare } = await served();
    api.allocate('gpus', 'uid-1', [
      { request: 'a', device: 'pci-0009-01-00-0' },
      { request: 'b/first', device: 'pci-0019-01-00-0' },
    ]);
    const { devices, error } = await prepare('gpus', 'uid-1');
    expect(error).toBe('');
    expect(devices.map((device) => ({ ...device, $typeName: undefined }))).toMatchObject([
      {
        requestNames: ['a'],
        poolName: 'node-1',
        deviceName: 'pci-0009-01-00-0',
        cdiDeviceIds: ['vsmmu.io/claim=uid-1-pci-0009-01-00-0'],
      },
      {
        requestNames: ['b'],
        poolName: 'node-1',
        deviceName: 'pci-0019-01-00-0',
        cdiDeviceIds: ['vsmmu.io/claim=uid-1-pci-0019-01-00-0'],
      },
    ]);
    const [first, second] = spec('uid-1').devices;
    expect(first!.containerEdits.deviceNodes.map(({ path }) => path)).toEqual([
      '/dev/vfio/vfio',
      '/dev/vfio/11',
      `/dev/vfio/devices/${host.vfioName(one.bdf)}`,
      '/dev/iommu',
    ]);
    const [mount] = second!.containerEdits.mounts!;
    expect(mount!.containerPath).toBe(
      '/var/run/kubernetes.io/dra-device-attributes/resourceclaims/gpus/b/vsmmu.io-metadata.json',
    );
    expect(JSON.parse(readFileSync(mount!.hostPath, 'utf8'))).toMatchObject({
      kind: 'DeviceMetadata',
      apiVersion: 'metadata.resource.k8s.io/v1alpha1',
      metadata: { name: 'gpus', namespace: 'vms', uid: 'uid-1' },
      requests: [
        {
          name: 'b/first',
          devices: [
            {
              driver: 'vsmmu.io',
              pool: 'node-1',
              name: 'pci-0019-01-00-0',
              attributes: { 'resource.kubernetes.io/pciBusID': { string: '0019:01:00.0' } },
            },
          ],
        },
      ],
    });
    expect(await unprepare('gpus', 'uid-1')).toMatchObject({ error: '' });
    expect(specs()).toEqual([]);
    expect(existsSync(mount!.hostPath)).toBe(false);
  });

  test('gets /dev/iommu by the iommufd of the configuration, as it is at that moment', async () => {
    const configFile = join(dir, 'agent.yaml');
    const configure = (iommufd: string) =>
      writeFileSync(configFile, `apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\niommufd: ${iommufd}\n`);
    configure('never');
    const said: string[] = [];
    start([one], { configFile, log: { ...silentLog, info: (message) => said.push(message) } });
    const { prepare, unprepare } = await served();
    const nodesOf = async (uid: string) => {
      api.allocate('gpus', uid, [{ request: 'a', device: 'pci-0009-01-00-0' }]);
      expect(await prepare('gpus', uid)).toMatchObject({ error: '' });
      const [device] = spec(uid).devices;
      await unprepare('gpus', uid);
      return device!.containerEdits.deviceNodes.map(({ path }) => path);
    };
    expect(await nodesOf('uid-1')).not.toContain('/dev/iommu');
    configure('auto');
    await until(() => said.includes('The configuration was read again.'));
    expect(await nodesOf('uid-2')).toContain('/dev/iommu');
  });

  test('made from a template is known to the pod by its own name for it', async () => {
    start([one]);
    const { prepare } = await served();
    api.allocate('vm-gpu-x7', 'uid-1', [{ request: 'a', device: 'pci-0009-01-00-0' }], {
      'resource.kubernetes.io/pod-claim-name': 'gpu',
    });
    await prepare('vm-gpu-x7', 'uid-1');
    const [mount] = spec('uid-1').devices[0]!.containerEdits.mounts!;
    expect(mount!.containerPath).toMatch(/\/resourceclaimtemplates\/gpu\/a\/vsmmu.io-metadata.json$/);
    expect(JSON.parse(readFileSync(mount!.hostPath, 'utf8'))).toMatchObject({ podClaimName: 'gpu' });
  });

  test('is prepared again with the same answer, also after a restart, and by a kubelet of v1beta1', async () => {
    const first = start([one]);
    const before = await served();
    api.allocate('gpus', 'uid-1', [{ request: 'a', device: 'pci-0009-01-00-0' }]);
    const prepared = await before.prepare('gpus', 'uid-1');
    expect(await before.prepare('gpus', 'uid-1')).toEqual(prepared);
    await first.stop();
    start([one]);
    const after = await served();
    expect(await after.prepare('gpus', 'uid-1')).toEqual(prepared);
    const beta = unixClient(DRAPluginBeta, endpoint());
    const { claims } = await beta.call.nodePrepareResources({
      claims: [{ namespace: 'vms', name: 'gpus', uid: 'uid-1' }],
    });
    beta.close();
    expect(claims['uid-1']!.devices[0]!.cdiDeviceIds).toEqual(prepared.devices[0]!.cdiDeviceIds);
  });

  test.each<[string, () => void, (host: HostTree) => void, RegExp]>([
    ['is not there', () => undefined, () => undefined, /KUBE_NOT_FOUND/],
    [
      'is another one by now',
      () => api.allocate('gpus', 'uid-2', []),
      () => undefined,
      /CLAIM_CHANGED: ResourceClaim vms\/gpus/,
    ],
    [
      'has a device of another node',
      () => api.allocate('gpus', 'uid-1', [{ request: 'a', device: 'pci-0009-01-00-0', pool: 'node-2' }]),
      () => undefined,
      /DEVICE_NOT_ADVERTISED: pci-0009-01-00-0/,
    ],
    [
      'has a device that is none',
      () => api.allocate('gpus', 'uid-1', [{ request: 'a', device: 'pci-0055-01-00-0' }]),
      () => undefined,
      /DEVICE_NOT_ADVERTISED/,
    ],
    [
      'has a device that is gone',
      () => api.allocate('gpus', 'uid-1', [{ request: 'a', device: 'pci-0009-01-00-0' }]),
      (host) => host.unplug(one.bdf),
      /DEVICE_CHANGED: 0009:01:00.0/,
    ],
    [
      'has a request that is a path',
      () => api.allocate('gpus', 'uid-1', [{ request: '../../x', device: 'pci-0009-01-00-0' }]),
      () => undefined,
      /CLAIM_MALFORMED/,
    ],
  ])('that %s is refused, and nothing is held', async (_, allocate, change, message) => {
    const { host } = start([one, other]);
    const { prepare } = await served();
    allocate();
    change(host);
    expect((await prepare('gpus', 'uid-1')).error).toMatch(message);
    expect(specs()).toEqual([]);
  });

  test('of a group that some other process has open waits; once prepared, that is its own VM', async () => {
    let busy = true;
    start([one], { isBusy: (node) => busy && node === '/dev/vfio/11' });
    const { prepare } = await served();
    api.allocate('gpus', 'uid-1', [{ request: 'a', device: 'pci-0009-01-00-0' }]);
    expect((await prepare('gpus', 'uid-1')).error).toMatch(/DEVICE_BUSY: 0009:01:00.0/);
    expect(specs()).toEqual([]);
    busy = false;
    expect((await prepare('gpus', 'uid-1')).error).toBe('');
    busy = true;
    expect((await prepare('gpus', 'uid-1')).error).toBe('');
  });

  test('unprepared while it is still being prepared is not left prepared', async () => {
    let looks = 0;
    start([one], { isBusy: () => ++looks === 1 });
    const { prepare, unprepare } = await served();
    api.allocate('gpus', 'uid-1', [{ request: 'a', device: 'pci-0009-01-00-0' }]);
    const slow = prepare('gpus', 'uid-1');
    await until(() => looks === 1);
    expect((await unprepare('gpus', 'uid-1')).error).toBe('');
    await slow;
    expect(specs()).toEqual([]);
  });

  test('that is not allocated waits', async () => {
    start([one]);
    const { prepare } = await served();
    api.claims.set('/apis/resource.k8s.io/v1/namespaces/vms/resourceclaims/gpus', {
      metadata: { name: 'gpus', namespace: 'vms', uid: 'uid-1' },
      status: {},
    });
    expect((await prepare('gpus', 'uid-1')).error).toMatch(/CLAIM_NOT_ALLOCATED/);
  });

  test('unprepared but never prepared is fine', async () => {
    start([one]);
    const { unprepare } = await served();
    expect(await unprepare('gone', 'uid-9')).toMatchObject({ error: '' });
  });

  test('of a damaged state leaves no specification behind', async () => {
    mkdirSync(join(dir, 'state'));
    mkdirSync(join(dir, 'cdi'));
    writeFileSync(join(dir, 'state/prepared-claims.json'), 'damage');
    writeFileSync(join(dir, 'cdi/vsmmu.io-claim-old.json'), '{}');
    writeFileSync(join(dir, 'cdi/someone-else.json'), '{}');
    start([one]);
    await served();
    expect(specs()).toEqual(['someone-else.json']);
  });

  test('and a mate in another claim: only one of two that race gets the group', async () => {
    start([one, mate]);
    const { client } = await served();
    api.allocate('a', 'uid-a', [{ request: 'r', device: 'pci-0009-01-00-0' }]);
    api.allocate('b', 'uid-b', [{ request: 'r', device: 'pci-0009-01-00-1' }]);
    const { claims } = await client.call.nodePrepareResources({
      claims: ['a', 'b'].map((name) => ({ namespace: 'vms', name, uid: `uid-${name}` })),
    });
    const errors = Object.values(claims).map(({ error }) => error);
    expect(errors.filter((error) => error === '')).toHaveLength(1);
    expect(errors.filter((error) => error.startsWith('GROUP_TAKEN'))).toHaveLength(1);
  });
});

describe('both at once', () => {
  test('the device plugin does not hand out what a claim has, nor the other way round', async () => {
    await kubelet.start();
    start([one, other]);
    const { prepare, unprepare } = await served();
    await until(() => kubelet.health(GPU) && kubelet.health(`${GPU}-ats`));
    api.allocate('x', 'uid-x', [{ request: 'r', device: 'pci-0009-01-00-0' }]);
    expect((await prepare('x', 'uid-x')).error).toBe('');
    await until(() => kubelet.health(`${GPU}-ats`)?.[one.bdf] === 'Unhealthy');
    await expect(kubelet.allocate(`${GPU}-ats`, one.bdf)).rejects.toThrow(/GROUP_TAKEN/);

    await kubelet.allocate(GPU, other.bdf);
    api.allocate('y', 'uid-y', [{ request: 'r', device: 'pci-0019-01-00-0' }]);
    expect((await prepare('y', 'uid-y')).error).toMatch(/GROUP_TAKEN/);

    await unprepare('x', 'uid-x');
    await until(() => kubelet.health(`${GPU}-ats`)?.[one.bdf] === 'Healthy');
    await kubelet.allocate(`${GPU}-ats`, one.bdf);
  });

  /** An agent that prepared claim x, with the first of its devices, and is gone. */
  const preparedBefore = async (devices: Parameters<typeof start>[0]) => {
    await kubelet.start();
    const agent = start(devices);
    const { prepare } = await served();
    api.allocate('x', 'uid-x', [{ request: 'r', device: 'pci-0009-01-00-0' }]);
    await prepare('x', 'uid-x');
    await agent.stop();
  };

  test('a prepared claim holds its device across a restart', async () => {
    await preparedBefore([one]);
    start([one]);
    await until(() => kubelet.health(`${GPU}-ats`)?.[one.bdf] === 'Unhealthy');
    await expect(kubelet.allocate(`${GPU}-ats`, one.bdf)).rejects.toThrow(/GROUP_TAKEN/);
  });

  describe('over devices that no resource has', () => {
    const taken = () => api.devices.filter(({ taints }) => taints !== undefined).map(({ name }) => name);
    let configFile: string;
    beforeEach(() => {
      configFile = join(dir, 'agent.yaml');
      writeFileSync(configFile, 'apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\notherwise: false\n');
    });

    test('what pods have by the plugin of another is in use', async () => {
      await kubelet.servePodResources();
      kubelet.pods.set('vms/a', new Map([['other.io/gpu', [one.bdf]]]));
      start([one, other], { configFile });
      await until(() => taken().join() === 'pci-0009-01-00-0');
    });

    test('a claim follows its device into the group that it has after a reboot', async () => {
      const first = start([one, other], { configFile });
      const { prepare } = await served();
      api.allocate('x', 'uid-x', [{ request: 'r', device: 'pci-0009-01-00-0' }]);
      await prepare('x', 'uid-x');
      await first.stop();
      start(
        [
          { ...one, group: 12 },
          { ...other, group: 11 },
        ],
        { configFile },
      );
      const after = await served();
      api.allocate('y', 'uid-y', [{ request: 'r', device: 'pci-0019-01-00-0' }]);
      expect((await after.prepare('y', 'uid-y')).error).toBe('');
      expect((await after.prepare('x', 'uid-x')).error).toBe('');
      expect(taken()).toEqual([]);
    });
  });

  const state = () => join(dir, 'state/prepared-claims.json');

  test.each<[string, () => void]>([
    ['cut short', () => writeFileSync(state(), readFileSync(state(), 'utf8').slice(0, -9))],
    ['changed', () => writeFileSync(state(), readFileSync(state(), 'utf8').replace('uid-x', 'uid-z'))],
    [
      "a newer version's",
      () => writeFileSync(state(), readFileSync(state(), 'utf8').replace('"format":1', '"format":2')),
    ],
    [
      'unreadable',
      () => {
        unlinkSync(state());
        mkdirSync(state());
      },
    ],
  ])('a prepared claim holds its device though the state is %s, until it is unprepared', async (_, harm) => {
    await preparedBefore([one, mate]);
    harm();

    start([one, mate], { isBusy: () => true });
    await until(() => kubelet.health(GPU) && kubelet.health(`${GPU}-ats`));
    await expect(kubelet.allocate(`${GPU}-ats`, one.bdf)).rejects.toThrow(/GROUP_TAKEN/);
    await expect(kubelet.allocate(GPU, mate.bdf)).rejects.toThrow(/GROUP_TAKEN/);
    expect(existsSync(join(dir, 'cdi/vsmmu.io-claim-uid-x.json'))).toBe(true);
    if (statSync(state(), { throwIfNoEntry: false })?.isDirectory() === true)
      rmSync(state(), { recursive: true });
    const { prepare, unprepare } = await served();
    expect((await prepare('x', 'uid-x')).error).toBe('');
    expect((await unprepare('x', 'uid-x')).error).toBe('');
    expect(existsSync(join(dir, 'cdi/vsmmu.io-claim-uid-x.json'))).toBe(false);
    await until(() => kubelet.health(GPU)?.[mate.bdf] === 'Healthy');
  });

  test('nothing is advertised before it is known what claims have, however slow the disk is', async () => {
    await preparedBefore([one]);
    const text = readFileSync(state(), 'utf8');
    unlinkSync(state());
    execFileSync('mkfifo', [state()]);
    const registered = kubelet.registered.length;
    start([one]);
    const pipe = await until(() => openForReader(state()));
    try {
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(kubelet.registered.length).toBe(registered);
      writeSync(pipe, text);
    } finally {
      closeSync(pipe);
    }
    await until(() => kubelet.registered.length > registered && kubelet.health(`${GPU}-ats`));
    expect(kubelet.health(`${GPU}-ats`)).toEqual({ [one.bdf]: 'Unhealthy' });
  });
});

/** The writing end of a FIFO; undefined: nobody reads it yet (ENXIO). */
function openForReader(fifo: string): number | undefined {
  try {
    return openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
