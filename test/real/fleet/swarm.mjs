import { readFile } from 'node:fs/promises';
import { NODES, node, PROFILES, profile, vmi, VMIS } from './objects.mjs';

export const NODE_COUNT = 1000;
export const VMI_COUNT = 5000;
const AT_ONCE = 16;

export const nodeName = (i) => `scale-${String(i).padStart(4, '0')}`;
/** What node i is at first. */
export const shapeOf = (i) => ({ ssidsize: 16 + (i % 5), gpus: 8 });

/** Nodes with profiles, and VMIs spread over them, written by many at once as agents and users would. */
export async function createFleet(admin, annotations = {}) {
  await swarm(NODE_COUNT, async (i) => {
    await admin.create(NODES, node(nodeName(i), { 'test/scale': 'yes' }));
    await admin.create(PROFILES, profile(nodeName(i), shapeOf(i)));
  });
  await swarm(VMI_COUNT, (i) =>
    admin.create(VMIS, vmi(`scale-${i}`, { on: nodeName(i % NODE_COUNT), gpus: 1, annotations })),
  );
}

export async function changeNode(admin, i, shape) {
  const path = `${PROFILES}/${nodeName(i)}`;
  const current = await admin.get(path);
  await admin.replace(path, { ...current, spec: profile(nodeName(i), { ...shapeOf(i), ...shape }).spec });
}

export async function swarm(count, task) {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/**
 * Requests of the controller so far, by the API server's audit log; one that it did not authenticate names nobody.
 * @param about keeps those that are wanted
 */
export async function requestsOf(cluster, about = () => true) {
  const events = await cluster.audit();
  return events.filter((event) => event.user.username?.endsWith(':vsmmu-controller') && about(event)).length;
}

export async function residentMiB(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
