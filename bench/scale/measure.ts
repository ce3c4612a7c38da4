import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { parseNodeProfile, type NodeProfile } from '../../src/cluster/node-profile.js';
import { ProfilePublisher } from '../../src/cluster/publish-profile.js';
import { KubeClient } from '../../src/cluster/kube-client.js';
import { staticAccess } from '../../src/cluster/access.js';
import { parseObject, type KubeObject } from '../../src/cluster/resource.js';
import { parseFleetVmi, type FleetVmi } from '../../src/fleet/bound-vmi.js';
import { planFleet } from '../../src/fleet/plan.js';
import type { HostReport } from '../../src/host/report.js';
import { draDevices } from '../../src/kubelet/dra/device.js';
import { cutIntoSlices, sliceDevices, sliceManifest } from '../../src/kubelet/dra/slices.js';
import { silentLog } from '../../src/log/log.js';
import { ApiStore } from '../../test/soak/api-store.js';
import { profileObject } from './objects.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const MIB = 1024 * 1024;
const DAY_MS = 24 * 3_600_000;

function liveMiB(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed / MIB;
}

/** Bytes of the objects as they travel. */
export interface Sizes {
  readonly profile: number;
  readonly slice: number;
  readonly slices: number;
}

export function sizesOf(report: HostReport): Sizes {
  const slices = cutIntoSlices(sliceDevices(draDevices(report), () => undefined));
  const texts = slices.map((devices, index) =>
    JSON.stringify(
      sliceManifest({ nodeName: 'node-0001', nodeUid: 'u' }, devices, index, slices.length, 1, '123456'),
    ),
  );
  return {
    profile: Buffer.byteLength(JSON.stringify(profileObject(report, 'node-0001'))),
    slice: Math.round(texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / texts.length),
    slices: texts.length,
  };
}

/** What one agent asks of the API server in a day on a host that does not change: the real publisher, by a clock that jumps. */
export interface AgentDay {
  readonly requests: number;
  readonly writes: number;
  readonly renewals: number;
}

export async function agentDay(report: HostReport, scanSeconds: number): Promise<AgentDay> {
  const store = await ApiStore.start();
  const client = new KubeClient(staticAccess(store.wire.url, { ca: store.wire.ca }));
  let now = Date.now();
  const publisher = new ProfilePublisher({ client, node: 'node-0001', log: silentLog, now: () => now });
  await publisher.publish(report);
  const [requests, writes] = [store.requests, store.writes];
  let renewals = 0;
  for (const end = now + DAY_MS; now < end; now += scanSeconds * 1000)
    if ((await publisher.publish(report)) === 'status') renewals += 1;
  client.close();
  await store.wire.stop();
  return { requests: store.requests - requests, writes: store.writes - writes, renewals };
}

/** Memory and time of the programs that hold the whole fleet, measured in this process with objects as they come in. */
export interface Held {
  /** MiB that the profiles take in a webhook, and everything of the fleet in a controller. */
  readonly webhookMiB: number;
  readonly controllerMiB: number;
  /** Milliseconds of CPU to take in one changed profile, and to plan for the whole fleet. */
  readonly profileMs: number;
  readonly planMs: number;
  /** Actions of the first plan, and of one when all is done. */
  readonly firstActions: number;
}

export function held(report: HostReport, nodes: number, vmis: number): Held {
  const text = JSON.stringify(profileObject(report, 'node-00000'));
  const before = liveMiB();
  const profiles = new Map<string, NodeProfile>();
  const begun = process.cpuUsage();
  for (let n = 0; n < nodes; n += 1) {
    const profile = parseNodeProfile(objectOf(text.replaceAll('node-00000', nameOf(n))));
    profiles.set(profile.node, profile);
  }
  const { user, system } = process.cpuUsage(begun);
  const webhookMiB = liveMiB() - before;

  const labels = new Map(Array.from({ length: nodes }, (_, n) => [nameOf(n), NODE_LABELS(n)] as const));
  const fleetVmis = Array.from({ length: vmis }, (_, n) => fleetVmi(n, nodes));
  const controllerMiB = liveMiB() - before;
  const snapshot = {
    nodes: labels,
    profiles: [...profiles.values()],
    baselines: [],
    policies: [],
    vmis: fleetVmis,
    namespaces: new Map(),
    seen: new Map<string, NodeProfile>(),
    now: Date.now(),
  };
  const planBegun = process.cpuUsage();
  const firstActions = planFleet(snapshot).length;
  const planned = process.cpuUsage(planBegun);
  return {
    webhookMiB,
    controllerMiB,
    profileMs: (user + system) / 1000 / nodes,
    planMs: (planned.user + planned.system) / 1000,
    firstActions,
  };
}

function nameOf(n: number): string {
  return `node-${String(n).padStart(5, '0')}`;
}

function objectOf(text: string): KubeObject {
  const object = parseObject(JSON.parse(text));
  if (object === undefined) throw new Error('a profile is an object');
  return object;
}

/** As kubelet and cloud providers label a node. */
const NODE_LABELS = (n: number) => ({
  'kubernetes.io/arch': 'arm64',
  'kubernetes.io/hostname': nameOf(n),
  'kubernetes.io/os': 'linux',
  'node.kubernetes.io/instance-type': 'gb200',
  'topology.kubernetes.io/zone': `zone-${n % 3}`,
});

function fleetVmi(n: number, nodes: number): FleetVmi {
  const object = objectOf(
    JSON.stringify({
      metadata: {
        name: `vm-${n}`,
        namespace: `team-${n % 50}`,
        labels: { app: `app-${n % 100}`, 'kubevirt.io/vm': `vm-${n}` },
      },
      spec: { domain: { devices: { gpus: [{ name: 'gpu', deviceName: 'vsmmu.io/10de-2941-ats' }] } } },
      status: { phase: 'Running', nodeName: nameOf(n % nodes) },
    }),
  );
  const vmi = parseFleetVmi(object);
  if (vmi === undefined) throw new Error('it asks for a device');
  return vmi;
}
