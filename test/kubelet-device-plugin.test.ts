import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { DevicePlugin } from '../src/gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { Registration as PluginRegistration } from '../src/gen/kubelet/pluginregistration/v1/api_pb.js';
import { unixClient } from '../src/grpc/client.js';
import { runProgram } from '../src/cli/program.js';
import type { IommufdPolicy } from '../src/kubelet/allocation.js';
import type { StartOptions } from '../src/kubelet/start-agent.js';
import { silentLog, type LogFields } from '../src/log/log.js';
import { runAgent, type RunningAgent } from './kubelet-agent.js';
import type { HostTree } from './kubelet-host.js';
import { type FunctionOfHost } from './kubelet-host.js';
import { KubeletPeer, until } from './kubelet-peer.js';

const GPU = 'vsmmu.io/10de-2941';
const GPU_ATS = 'vsmmu.io/10de-2941-ats';

let dir: string;
let kubelet: KubeletPeer;
let stops: (() => Promise<void>)[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
  kubelet = new KubeletPeer(join(dir, 'k'));
  stops = [];
});
afterEach(async () => {
  for (const stop of stops) await stop();
  await kubelet.close();
  rmSync(dir, { recursive: true, force: true });
});

function start(functions: readonly FunctionOfHost[], options: Partial<StartOptions> = {}): RunningAgent {
  const agent = runAgent(dir, kubelet, functions, options);
  stops.push(agent.stop);
  return agent;
}

const one: FunctionOfHost = { bdf: '0009:01:00.0', group: 11, numa: 1 };
const other: FunctionOfHost = { bdf: '0019:01:00.0', group: 12, numa: null };

describe('advertising', () => {
  test('registers, and ListAndWatch tells ids, health and NUMA nodes', async () => {
    await kubelet.start();
    start([
      one,
      other,
      { bdf: '0029:01:00.0', group: 13, numa: 'silent' },
      { bdf: '0039:01:00.0', group: 14, numa: 0 },
      { bdf: '0039:01:00.1', group: 14, driver: 'snd_hda_intel' },
    ]);
    const endpoint = await until(() => kubelet.endpoints.get(GPU)?.devices && kubelet.endpoints.get(GPU));
    expect(endpoint.request.version).toBe('v1beta1');
    expect(
      endpoint.devices!.map(({ ID, health, topology }) => [ID, health, topology?.nodes.map((n) => n.ID)]),
    ).toEqual([
      ['0009:01:00.0', 'Healthy', [1n]],
      ['0019:01:00.0', 'Healthy', undefined],
      ['0029:01:00.0', 'Healthy', undefined],
      ['0039:01:00.0', 'Unhealthy', [0n]],
    ]);
  });

  test('known ATS has its own resource; unknown ATS is never in it', async () => {
    await kubelet.start();
    start([
      { ...one, ats: true },
      { ...other, ats: false },
      { bdf: '0029:01:00.0', group: 13 },
    ]);
    expect(await until(() => kubelet.health(GPU_ATS))).toEqual({ '0009:01:00.0': 'Healthy' });
    expect(await until(() => kubelet.health(GPU))).toEqual({
      '0019:01:00.0': 'Healthy',
      '0029:01:00.0': 'Healthy',
    });
  });

  test('a device of which more becomes known changes its resource, and is counted once', async () => {
    await kubelet.start();
    const { host } = start([one, other]);
    await until(() => kubelet.health(GPU));
    host.plug({ ...one, ats: true });
    expect(await until(() => kubelet.health(GPU_ATS))).toEqual({ [one.bdf]: 'Healthy' });
    await until(() => Object.keys(kubelet.health(GPU) ?? {}).join() === other.bdf);
    host.plug({ ...other, ats: true });
    await until(() => Object.keys(kubelet.health(GPU_ATS) ?? {}).length === 2);
    await until(() => kubelet.endpoints.get(GPU) === undefined);
    host.plug(other);
    expect(await until(() => kubelet.health(GPU))).toEqual({ [other.bdf]: 'Healthy' });
    await until(() => Object.keys(kubelet.health(GPU_ATS) ?? {}).join() === one.bdf);
  });

  test('a resource with the longest name that a kubelet takes has a socket all the same', async () => {
    await kubelet.start();
    const label = 'a'.repeat(63);
    const longest = `${[label, label, label, 'a'.repeat(52)].join('.')}/${label}`;
    const config = join(dir, 'config.yaml');
    writeFileSync(config, `apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\notherwise: ${longest}\n`);
    start([one], { configFile: config });
    expect(await until(() => kubelet.health(longest))).toEqual({ [one.bdf]: 'Healthy' });
  });

  test('variant drivers are advertised, other drivers are not', async () => {
    await kubelet.start();
    start([
      { ...one, driver: 'nvgrace-gpu-vfio-pci' },
      { ...other, driver: 'nvme' },
    ]);
    expect(await until(() => kubelet.health(GPU))).toEqual({ '0009:01:00.0': 'Healthy' });
  });

  test('a change is told once, and silence is kept while nothing changes', async () => {
    await kubelet.start();
    const { host } = start([one]);
    await until(() => kubelet.health(GPU));
    host.plug(other);
    await until(() => Object.keys(kubelet.health(GPU) ?? {}).length === 2);
    host.unplug('0009:01:00.0');
    await until(() => kubelet.health(GPU)?.['0009:01:00.0'] === 'Unhealthy');
    host.plug(one);
    await until(() => kubelet.health(GPU)?.['0009:01:00.0'] === 'Healthy');
    expect(kubelet.endpoints.get(GPU)!.messages).toBe(4);
    expect(kubelet.registered).toEqual([GPU]);
  });
});

describe('Allocate', () => {
  test('gives nodes and addresses for exactly what was asked, in address order', async () => {
    await kubelet.start();
    const { host } = start([one, other, { bdf: '0029:01:00.0', group: 13 }]);
    await until(() => kubelet.health(GPU));
    const { envs, devices, mounts, annotations } = await kubelet.allocate(
      GPU,
      '0019:01:00.0',
      '0009:01:00.0',
    );
    expect(envs).toEqual({ 'PCI_RESOURCE_VSMMU_IO_10DE-2941': '0009:01:00.0,0019:01:00.0' });
    expect(devices.map(({ hostPath }) => hostPath)).toEqual([
      '/dev/vfio/vfio',
      '/dev/vfio/11',
      '/dev/vfio/12',
      `/dev/vfio/devices/${host.vfioName('0009:01:00.0')}`,
      `/dev/vfio/devices/${host.vfioName('0019:01:00.0')}`,
      '/dev/iommu',
    ]);
    expect(devices.every((d) => d.permissions === 'mrw' && d.containerPath === d.hostPath)).toBe(true);
    expect([mounts, annotations]).toEqual([[], {}]);
  });

  test('no container request gets what another one asked for', async () => {
    await kubelet.start();
    start([one, other]);
    await until(() => kubelet.health(GPU));
    const { containerResponses } = await kubelet.client(GPU).call.allocate({
      containerRequests: [{ devicesIds: ['0009:01:00.0'] }, { devicesIds: ['0019:01:00.0'] }],
    });
    expect(containerResponses.map(({ envs }) => Object.values(envs))).toEqual([
      ['0009:01:00.0'],
      ['0019:01:00.0'],
    ]);
    expect(containerResponses[1]!.devices.map(({ hostPath }) => hostPath)).not.toContain('/dev/vfio/11');
  });

  test.each<[string, Partial<FunctionOfHost>, IommufdPolicy, readonly string[]]>([
    ['policy never keeps /dev/iommu back', {}, 'never', ['/dev/vfio/vfio', '/dev/vfio/11', 'cdev']],
    [
      'without a cdev there is no iommufd either',
      { cdev: false },
      'auto',
      ['/dev/vfio/vfio', '/dev/vfio/11'],
    ],
  ])('%s', async (_, fn, policy, expected) => {
    await kubelet.start();
    const { host } = start([{ ...one, ...fn }], { iommufd: policy });
    await until(() => kubelet.health(GPU));
    const { devices } = await kubelet.allocate(GPU, one.bdf);
    const cdev = `/dev/vfio/devices/${host.vfioName(one.bdf)}`;
    expect(devices.map(({ hostPath }) => hostPath)).toEqual(
      expected.map((path) => (path === 'cdev' ? cdev : path)),
    );
  });

  test('vfio-dev in sysfs without its node (Linux 6.12) gives no cdev', async () => {
    await kubelet.start();
    const { host } = start([one]);
    await until(() => kubelet.health(GPU));
    host.remove(`/dev/vfio/devices/${host.vfioName(one.bdf)}`);
    const { devices } = await kubelet.allocate(GPU, one.bdf);
    expect(devices.map(({ hostPath }) => hostPath)).toEqual(['/dev/vfio/vfio', '/dev/vfio/11']);
  });

  test.each<[string, (host: HostTree) => void, string, RegExp]>([
    ['an id it does not have', () => undefined, '0055:01:00.0', /DEVICE_NOT_ADVERTISED: 0055:01:00.0/],
    ['an id that is none', () => undefined, 'gpu-1', /DEVICE_NOT_ADVERTISED: gpu-1/],
    [
      'a device that is gone',
      (host) => host.unplug(one.bdf),
      one.bdf,
      /DEVICE_CHANGED: .*gone from the host/,
    ],
    [
      'a device on another driver',
      (host) => host.plug({ ...one, driver: 'nouveau' }),
      one.bdf,
      /DEVICE_CHANGED: .*on nouveau now/,
    ],
    [
      'a device in another group',
      (host) => host.plug({ ...one, group: 44 }),
      one.bdf,
      /DEVICE_CHANGED: .*IOMMU group 44/,
    ],
    [
      'a device without its group node',
      (host) => host.remove('/dev/vfio/11'),
      one.bdf,
      /DEVICE_CHANGED: .*\/dev\/vfio\/11 is missing/,
    ],
  ])('refuses %s', async (_, change, id, message) => {
    await kubelet.start();
    const { host, stop } = start([one, other]);
    await until(() => kubelet.health(GPU));
    // The report stays as it was: only Allocate itself looks at the host again.
    const frozen = await host.report();
    host.report = () => Promise.resolve(frozen);
    change(host);
    await expect(kubelet.allocate(GPU, '0019:01:00.0', id)).rejects.toThrow(message);
    await kubelet.allocate(GPU, '0019:01:00.0');
    await stop();
  });
});

describe('a group that some other process has open', () => {
  test('is refused, and free for others when that process is gone', async () => {
    await kubelet.start();
    let busy = true;
    start([one, other], { isBusy: (node) => busy && node === '/dev/vfio/11' });
    await until(() => kubelet.health(GPU));
    await expect(kubelet.allocate(GPU, one.bdf)).rejects.toThrow(/DEVICE_BUSY: 0009:01:00.0: .*fuser/);
    await kubelet.allocate(GPU, other.bdf);
    busy = false;
    await kubelet.allocate(GPU, one.bdf);
  });

  test('by a probe for a moment is waited for', async () => {
    await kubelet.start();
    let looks = 0;
    start([one], { isBusy: () => looks++ < 2 });
    await until(() => kubelet.health(GPU));
    await kubelet.allocate(GPU, one.bdf);
    expect(looks).toBe(3);
  });
});

describe('IOMMU groups', () => {
  const mate: FunctionOfHost = { bdf: '0009:01:00.1', group: 11, numa: 1 };

  test('are handed out whole: mates of a taken device become unhealthy and are refused', async () => {
    await kubelet.start();
    start([one, mate, other]);
    await until(() => kubelet.health(GPU));
    await kubelet.allocate(GPU, one.bdf);
    await expect(kubelet.allocate(GPU, mate.bdf)).rejects.toThrow(
      /GROUP_TAKEN: 0009:01:00.1: .*0009:01:00.0/,
    );
    await until(() => kubelet.health(GPU)?.[mate.bdf] === 'Unhealthy');
    expect(kubelet.health(GPU)).toEqual({
      [one.bdf]: 'Healthy',
      [mate.bdf]: 'Unhealthy',
      [other.bdf]: 'Healthy',
    });
  });

  test('one container may have all members', async () => {
    await kubelet.start();
    start([one, mate]);
    await until(() => kubelet.health(GPU));
    const { envs, devices } = await kubelet.allocate(GPU, mate.bdf, one.bdf);
    expect(Object.values(envs)).toEqual([`${one.bdf},${mate.bdf}`]);
    expect(devices.filter(({ hostPath }) => hostPath === '/dev/vfio/11')).toHaveLength(1);
  });

  test('what pods have at start counts as taken', async () => {
    await kubelet.servePodResources();
    kubelet.pods.set('vms/one', new Map([[GPU, [one.bdf]]]));
    await kubelet.start();
    start([one, mate]);
    expect(await until(() => kubelet.health(GPU))).toEqual({ [one.bdf]: 'Healthy', [mate.bdf]: 'Unhealthy' });
    await expect(kubelet.allocate(GPU, mate.bdf)).rejects.toThrow(/GROUP_TAKEN/);
    kubelet.pods.clear();
    // Within 5 s the list is looked at, and 5 s later the pod is known to be over.
    await until(() => kubelet.health(GPU)?.[mate.bdf] === 'Healthy', 25_000);
    await kubelet.allocate(GPU, mate.bdf);
  });
});

describe('never lost', () => {
  const registrations = (count: number) =>
    until(() => kubelet.registered.length >= count && kubelet.health(GPU));

  test('a kubelet that comes later finds the plugin', async () => {
    const { host } = start([one]);
    expect(existsSync(host.root)).toBe(true);
    await kubelet.start();
    await registrations(1);
  });

  test('a kubelet restart, which wipes all sockets', async () => {
    await kubelet.start();
    start([one, { ...other, ats: true }]);
    await until(() => kubelet.health(GPU) && kubelet.health(GPU_ATS));
    for (let restart = 2; restart <= 4; restart++) {
      await kubelet.stop();
      await kubelet.start();
      await until(() => kubelet.health(GPU) && kubelet.health(GPU_ATS));
      expect(kubelet.registered).toHaveLength(2 * restart);
    }
  });

  test('the device stream ends and the socket stays', async () => {
    await kubelet.start();
    start([one]);
    await registrations(1);
    kubelet.cutStream(GPU);
    await registrations(2);
  });

  test('only the own socket is removed', async () => {
    await kubelet.start();
    start([one]);
    await registrations(1);
    const name = kubelet.endpoints.get(GPU)!.request.endpoint;
    unlinkSync(join(kubelet.pluginDir, name));
    await registrations(2);
    expect(readdirSync(kubelet.pluginDir).sort()).toEqual(['kubelet.sock', name].sort());
  });

  test('the whole directory is replaced', async () => {
    await kubelet.start();
    start([one]);
    await registrations(1);
    await kubelet.stop();
    rmSync(kubelet.root, { recursive: true });
    await kubelet.start();
    await registrations(2);
  });

  test('a kubelet that refuses at first', async () => {
    kubelet.refuse = 'not yet';
    await kubelet.start();
    start([one]);
    await until(() => existsSync(join(kubelet.pluginDir, 'vsmmu.io~10de-2941.sock')));
    kubelet.refuse = undefined;
    await registrations(1);
  });

  test('stopping removes the socket and leaves nothing running', async () => {
    await kubelet.start();
    const { stop } = start([one]);
    await registrations(1);
    await stop();
    expect(readdirSync(kubelet.pluginDir)).toEqual(['kubelet.sock']);
  });
});

describe("the plugin watcher's way", () => {
  test('sockets in plugins_registry tell what they are, and come anew when the stream ends', async () => {
    mkdirSync(join(kubelet.root, 'plugins_registry'), { recursive: true });
    start([one], { mode: 'watcher' });
    const socket = join(kubelet.root, 'plugins_registry/vsmmu.io~10de-2941.sock');
    await until(() => existsSync(socket));
    const info = unixClient(PluginRegistration, socket);
    expect(await info.call.getInfo({})).toMatchObject({
      type: 'DevicePlugin',
      name: GPU,
      endpoint: '',
      supportedVersions: ['v1beta1'],
    });
    await info.call.notifyRegistrationStatus({ pluginRegistered: true });
    info.close();
    const plugin = unixClient(DevicePlugin, socket);
    const before = statSync(socket).birthtimeMs;
    for await (const { devices } of plugin.call.listAndWatch({})) {
      expect(devices.map(({ ID }) => ID)).toEqual([one.bdf]);
      break;
    }
    plugin.close();
    await until(() => existsSync(socket) && statSync(socket).birthtimeMs !== before);
  });

  test('a refusal is answered with a new socket', async () => {
    mkdirSync(join(kubelet.root, 'plugins_registry'), { recursive: true });
    start([one], { mode: 'watcher' });
    const socket = join(kubelet.root, 'plugins_registry/vsmmu.io~10de-2941.sock');
    await until(() => existsSync(socket));
    const before = statSync(socket).birthtimeMs;
    const info = unixClient(PluginRegistration, socket);
    await info.call.notifyRegistrationStatus({ pluginRegistered: false, error: 'not this one' });
    info.close();
    await until(() => existsSync(socket) && statSync(socket).birthtimeMs !== before);
  });
});

describe('a configuration', () => {
  const HEAD = 'apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\n';
  const write = (text: string) => {
    writeFileSync(join(dir, 'config.yaml.new'), HEAD + text);
    renameSync(join(dir, 'config.yaml.new'), join(dir, 'config.yaml'));
  };

  test('names resources by features, and takes effect again when the file changes', async () => {
    await kubelet.start();
    write('resources: [{name: example.com/wide, select: {pasidBits: ">= 16"}}]\notherwise: false');
    start([{ ...one, pasidBits: 20 }, other], { configFile: join(dir, 'config.yaml') });
    expect(await until(() => kubelet.health('example.com/wide'))).toEqual({ [one.bdf]: 'Healthy' });
    expect(kubelet.health(GPU)).toBeUndefined();

    write('resources: [{name: "example.com/n{numa}", select: {numa: 1}}]');
    expect(await until(() => kubelet.health('example.com/n1'))).toEqual({ [one.bdf]: 'Healthy' });
    expect(await until(() => kubelet.health(GPU))).toEqual({ [other.bdf]: 'Healthy' });
    await until(() => kubelet.endpoints.get('example.com/wide') === undefined);
  });

  test('that is not valid changes nothing', async () => {
    await kubelet.start();
    write('resources: [{name: example.com/a}]');
    const refused: string[] = [];
    const log = { ...silentLog, error: (message: string) => refused.push(message) };
    start([one], { configFile: join(dir, 'config.yaml'), log });
    await until(() => kubelet.health('example.com/a'));
    write('resources: [{name: Example.com/b}]');
    await until(() => refused.length > 0);
    expect(refused).toEqual(['The new configuration is refused; the former stays in force.']);
    write('resources: [{name: example.com/c}]');
    await until(() => kubelet.health('example.com/c'));
    expect(kubelet.registered).toEqual(['example.com/a', 'example.com/c']);
  });

  test('whose names share a variable is refused as a whole, and of a later device only that device', async () => {
    await kubelet.start();
    write('otherwise: "example.com/{vendor}.{device}"');
    let port: number | undefined;
    const refused: unknown[] = [];
    const log = { ...silentLog, error: (_: string, fields?: LogFields) => refused.push(fields?.['reason']) };
    const { host } = start([one, { ...other, ids: [0x10de, 0x2942] }], {
      configFile: join(dir, 'config.yaml'),
      http: '127.0.0.1:0',
      onHttp: (bound) => (port = bound),
      log,
    });
    await until(() => kubelet.health('example.com/10de.2941') && kubelet.health('example.com/10de.2942'));
    const rules = (numa: number) =>
      `resources: [{name: "example.com/{vendor}_{device}", select: {numa: ${numa}}}]\n` +
      'otherwise: "example.com/{vendor}.2941"';
    write(rules(1));
    await until(() => refused.length > 0);
    expect(refused).toEqual([expect.stringContaining('PCI_RESOURCE_EXAMPLE_COM_10DE_2941')]);
    expect(kubelet.health('example.com/10de.2941')).toEqual({ [one.bdf]: 'Healthy' });
    expect(kubelet.health('example.com/10de.2942')).toEqual({ [other.bdf]: 'Healthy' });

    write(rules(0));
    await until(() => Object.keys(kubelet.health('example.com/10de.2941') ?? {}).length === 2);
    host.plug({ bdf: '0000:01:00.0', group: 13, numa: 0 });
    const notAdvertised = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/status`);
      return ((await response.json()) as { notAdvertised: { bdf: string; fault: string }[] }).notAdvertised;
    };
    let found = await notAdvertised();
    while (found.length === 0) found = await notAdvertised();
    expect(found).toEqual([expect.objectContaining({ bdf: '0000:01:00.0', fault: 'collision' })]);
    expect(Object.keys(kubelet.health('example.com/10de.2941')!)).toEqual([one.bdf, other.bdf]);
  });

  test('takes effect though the host cannot be looked at just now', async () => {
    await kubelet.start();
    write('otherwise: example.com/a');
    const { host } = start([one], { configFile: join(dir, 'config.yaml') });
    await until(() => kubelet.health('example.com/a'));
    host.report = () => Promise.reject(new Error('EMFILE'));
    write('otherwise: example.com/b');
    expect(await until(() => kubelet.health('example.com/b'))).toEqual({ [one.bdf]: 'Healthy' });
  });

  test('may ask for CDI', async () => {
    await kubelet.start();
    write('cdi: true');
    const { host } = start([one, other], { configFile: join(dir, 'config.yaml') });
    await until(() => kubelet.health(GPU));
    const { cdiDevices, devices, envs } = await kubelet.allocate(GPU, one.bdf);
    expect(cdiDevices.map(({ name }) => name)).toEqual(['vsmmu.io/pci=0009:01:00.0']);
    expect(devices).toEqual([]);
    expect(Object.values(envs)).toEqual([one.bdf]);
    const spec = JSON.parse(readFileSync(join(dir, 'cdi/vsmmu.io-pci.json'), 'utf8')) as unknown;
    const node = (path: string) => ({ path, permissions: 'rwm' });
    const cdev = (bdf: string) => node(`/dev/vfio/devices/${host.vfioName(bdf)}`);
    expect(spec).toEqual({
      cdiVersion: '0.5.0',
      kind: 'vsmmu.io/pci',
      devices: [one, other].map(({ bdf, group }) => ({
        name: bdf,
        containerEdits: {
          deviceNodes: [node('/dev/vfio/vfio'), node(`/dev/vfio/${group}`), cdev(bdf), node('/dev/iommu')],
        },
      })),
    });
  });
});

test('what cannot be handed out by CDI is not claimed: its mates stay free', async () => {
  const mate: FunctionOfHost = { bdf: '0009:01:00.1', group: 11, numa: 1 };
  await kubelet.start();
  const config = join(dir, 'config.yaml');
  writeFileSync(config, 'apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\ncdi: true\n');
  writeFileSync(join(dir, 'cdi'), 'a file where a folder shall be');
  start([one, mate], { configFile: config });
  await until(() => kubelet.health(GPU));
  await expect(kubelet.allocate(GPU, one.bdf)).rejects.toThrow(/CDI_UNWRITABLE/);
  rmSync(join(dir, 'cdi'));
  await kubelet.allocate(GPU, mate.bdf);
});

describe('a restart of the agent', () => {
  const mate: FunctionOfHost = { bdf: '0009:01:00.1', group: 11 };

  test('remembers what it handed out a moment ago, though no pod is listed yet', async () => {
    await kubelet.servePodResources();
    await kubelet.start();
    const first = start([one, mate]);
    await until(() => kubelet.health(GPU));
    await kubelet.allocate(GPU, one.bdf);
    await until(() => existsSync(join(dir, 'state/claims.json')));
    await first.stop();
    start([one, mate]);
    await until(() => kubelet.registered.length === 2 && kubelet.health(GPU));
    expect(kubelet.health(GPU)).toEqual({ [one.bdf]: 'Healthy', [mate.bdf]: 'Unhealthy' });
  });

  test('starts with a damaged state, puts it aside and says so', async () => {
    await kubelet.start();
    mkdirSync(join(dir, 'state'));
    writeFileSync(join(dir, 'state/claims.json'), '{"format":1,');
    const errors: string[] = [];
    start([one], { log: { ...silentLog, error: (message) => errors.push(message) } });
    await until(() => kubelet.health(GPU));
    expect(errors).toEqual(['The state is damaged and was put aside.']);
    expect(existsSync(join(dir, 'state/claims.json.damaged'))).toBe(true);
  });
});

describe('the HTTP endpoint', () => {
  test('tells health by asking over the socket, readiness by the stream, and metrics', async () => {
    let port: number | undefined;
    start([one, { bdf: '0009:01:00.1', group: 77, driver: 'nvme' }], {
      http: '127.0.0.1:0',
      onHttp: (bound) => (port = bound),
    });
    const at = await until(() => port);
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${at}${path}`);
      return { status: response.status, body: await response.text() };
    };
    expect((await get('/readyz')).status).toBe(503);
    await kubelet.start();
    await until(() => kubelet.health(GPU));
    expect(await get('/readyz')).toEqual({ status: 200, body: 'ok\n' });
    expect(await get('/healthz')).toEqual({ status: 200, body: 'ok\n' });
    await kubelet.allocate(GPU, one.bdf);
    const { body } = await get('/metrics');
    expect(body).toContain(`vsmmu_devices{resource="${GPU}",health="healthy"} 1`);
    expect(body).toContain('vsmmu_devices_not_advertised 1');
    expect(body).toContain(`vsmmu_allocations_total{resource="${GPU}",outcome="ok"} 1`);
    expect(body).toContain('vsmmu_allocate_seconds_count 1');
    expect(JSON.parse((await get('/status')).body)).toMatchObject({
      notAdvertised: [{ bdf: '0009:01:00.1', reason: expect.stringContaining('nvme') }],
    });
    expect((await get('/else')).status).toBe(404);
    expect((await get('//')).status).toBe(404);
  });

  test.each(['nowhere', '1.2.3.4', ':99999'])(
    '"%s" is no address: the agent ends and listens to nothing, or its process would go on',
    async (http) => {
      let listening = 0;
      const hint = { listen: () => (listening += 1), close: () => (listening -= 1) };
      const { stop } = runAgent(dir, kubelet, [], { http, hints: [hint] });
      await expect(stop()).rejects.toMatchObject({ code: 'USAGE', place: '--http' });
      expect(listening).toBe(0);
    },
  );
});

describe('vsmmu agent', () => {
  test('serves a recorded host without a configuration until it is told to stop', async () => {
    await kubelet.start();
    const abort = new AbortController();
    const stderr = new PassThrough();
    const io = {
      stdin: new PassThrough(),
      stdout: new PassThrough(),
      stderr,
      env: {},
      color: false,
      progress: false,
      signal: abort.signal,
    };
    const host = fileURLToPath(new URL('../src/cli/demo/two-gpu-host', import.meta.url));
    const running = runProgram(['agent', '--host', host, '--kubelet-dir', kubelet.root], io);
    stops.push(async () => {
      abort.abort();
      await running;
    });
    const resource = await until(() => kubelet.registered.find((name) => kubelet.health(name)));
    expect(resource).toMatch(/^vsmmu\.io\/10de-[0-9a-f]{4}(-ats)?$/);
    const [id = ''] = Object.keys(kubelet.health(resource)!);
    const { envs } = await kubelet.allocate(resource, id);
    expect(Object.values(envs)).toEqual([id]);
    abort.abort();
    expect(await running).toBe(0);
    const lines = String(stderr.read()).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toContainEqual(
      expect.objectContaining({ level: 'info', message: 'Registered with the kubelet.', resource }),
    );
  });
});
