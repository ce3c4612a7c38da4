// helm test: every agent that should run is ready, has told what its node can do, and nodes with devices offer them.
import { readFileSync } from 'node:fs';
import { request } from 'node:https';

const { ACCOUNT, NAMESPACE, DAEMONSET, RESOURCES, KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT } =
  process.env;
const ca = readFileSync(`${ACCOUNT}/ca.crt`);
const authorization = `Bearer ${readFileSync(`${ACCOUNT}/token`, 'utf8').trim()}`;
const faults = [];

const { status } = await get(`/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/${DAEMONSET}`);
const { desiredNumberScheduled = 0, numberReady = 0 } = status ?? {};
if (desiredNumberScheduled === 0)
  faults.push('no node is to run an agent: see agent.nodeSelector (arm64 nodes only, by default)');
if (numberReady < desiredNumberScheduled)
  faults.push(`${numberReady} of ${desiredNumberScheduled} agents are ready`);

const { items: profiles } = await get('/apis/vsmmu.io/v1alpha1/nodeprofiles');
if (profiles.length < desiredNumberScheduled)
  faults.push(`${profiles.length} of ${desiredNumberScheduled} nodes have a NodeProfile`);

const { items: nodes } = await get('/api/v1/nodes');
let offered = 0;
for (const { spec } of profiles) {
  const ready = spec.devices.filter((device) => device.ready).length;
  const node = nodes.find(({ metadata }) => metadata.name === spec.node);
  const count = countOf(node?.status?.allocatable ?? {});
  offered += count;
  if (ready > 0 && count === 0)
    faults.push(`${spec.node} has ${ready} devices ready for passthrough and its kubelet offers none`);
}

for (const fault of faults) console.error(`fault: ${fault}`);
if (faults.length === 0)
  console.log(`ok: ${numberReady} agents, ${profiles.length} profiles, ${offered} devices`);
process.exitCode = faults.length === 0 ? 0 : 1;

/** Devices of the resources that the webhook serves: full names, or a domain with its "/". */
function countOf(allocatable) {
  return Object.entries(allocatable)
    .filter(([name]) =>
      RESOURCES.split(',').some((one) => (one.endsWith('/') ? name.startsWith(one) : name === one)),
    )
    .reduce((sum, [, count]) => sum + Number(count), 0);
}

function get(path) {
  const options = { host: KUBERNETES_SERVICE_HOST, port: KUBERNETES_SERVICE_PORT, path, ca, timeout: 10_000 };
  return new Promise((resolve, reject) => {
    request({ ...options, headers: { authorization } }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`GET ${path}: ${response.statusCode}: ${text}`));
      });
    })
      .on('timeout', () => reject(new Error(`GET ${path}: no answer within 10 s`)))
      .on('error', reject)
      .end();
  });
}
