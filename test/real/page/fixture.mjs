import {
  BASELINES,
  baseline,
  NODES,
  node,
  POLICIES,
  policy,
  PROFILES,
  profile,
  vmi,
  VMIS,
} from '../fleet/objects.mjs';

export const NODE_COUNT = 1000;
export const nodeName = (i) => `gpu-${String(i).padStart(4, '0')}`;
/** Nodes that are not like the others. */
export const LIMITING = nodeName(17);
export const IMPOSSIBLE = nodeName(23);
export const UNKNOWN = nodeName(42);
export const STALE = nodeName(77);
export const WITH_VM = nodeName(5);
const SWARM = 16;

/** A thousand nodes with eight GPUs each, two baselines, a policy and a VM. */
export async function createFleet({ admin }) {
  let next = 0;
  const worker = async () => {
    while (next < NODE_COUNT) await createNode(admin, nodeName(next++));
  };
  await Promise.all(Array.from({ length: SWARM }, worker));
  await admin.create(BASELINES, baseline('everywhere'));
  await admin.create(BASELINES, baseline('rack-a', { nodeSelector: { matchLabels: { rack: 'a' } } }));
  await admin.create(POLICIES, policy('gpu-vms', { baseline: 'rack-a', properties: { oas: 44 } }));
  await admin.create(VMIS, vmi('train-1', { on: WITH_VM }));
}

async function createNode(admin, name) {
  const number = Number(name.slice(4));
  await admin.create(NODES, node(name, { rack: number < 40 ? 'a' : 'b' }));
  await admin.create(PROFILES, shaped(name));
  if (name !== STALE) return;
  const path = `${PROFILES}/${name}/status`;
  await admin.patch(path, 'merge', { status: { renewedAt: '2020-01-01T00:00:00Z' } });
}

function shaped(name) {
  const object = profile(name, { gpus: 8, ssidsize: name === LIMITING ? 16 : 20 });
  const { smmus, devices, summary } = object.spec;
  if (name === IMPOSSIBLE) {
    summary.accel = 0;
    smmus[0].accel = 'impossible';
    smmus[0].obstacles = [
      {
        code: 'HOST_SIDSIZE',
        message: 'the host SMMU has 14 StreamID bits; 16 are needed',
        remedy: 'Use another host.',
      },
    ];
  }
  if (name === UNKNOWN) {
    for (const device of devices.slice(2, 5)) {
      device.ats = 'unknown';
      device.kernelAts = 'silent';
      device.because = 'the kernel cannot say: it does not report ATS (out_capabilities bit 3, Linux 7.1)';
      summary.ats--;
    }
    devices[7].ats = 'no';
    devices[7].kernelAts = 'not-supported';
    summary.ats--;
  }
  return object;
}
