import assert from 'node:assert/strict';
import { join } from 'node:path';
import { freePorts } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { configurations, NAME } from '../handover/configurations.mjs';
import { NAMESPACE, vmi, VMIS } from '../webhook/vmi.mjs';
import { IMAGE } from '../webhook/webhook.mjs';
import { Program } from './program.mjs';

export const FLEET = {
  newerAgent:
    'a newer agent beside an older webhook and controller: its values are handed over, its node is labelled',
  olderAgent: 'an older agent beside a newer webhook and controller: the same',
  authority:
    'the webhook is upgraded and taken back: one authority all the way, and every version of it is trusted',
};

const RESOLVED = 'vsmmu.io/resolved';
const REGISTRATION = '/apis/admissionregistration.k8s.io/v1';
const OWN_NAMESPACE = 'vsmmu-system';

/** @returns {Promise<Record<string, object>>} VMIs as the webhook of each version handed them over */
export async function fleetChecks(ctx, { versions, cluster, kubeconfig, folder }) {
  const { admin } = cluster;
  for (const name of [NAMESPACE, OWN_NAMESPACE])
    await admin.create('/api/v1/namespaces', { metadata: { name } });
  const [port] = await freePorts(1);
  const { mutating, validating } = await configurations(ctx, port);
  await admin.create(`${REGISTRATION}/mutatingwebhookconfigurations`, mutating);
  await admin.create(`${REGISTRATION}/validatingwebhookconfigurations`, validating);
  const controllerOfKubeVirt = cluster.as('system:serviceaccount:kubevirt:kubevirt-controller', [
    'system:serviceaccounts',
    'system:masters',
  ]);

  const start = (version, args) => new Program(ctx, versions[version], [...args, '--kubeconfig', kubeconfig]);
  const webhook = async (version) => {
    const program = start(version, [
      ...[
        'webhook',
        '--cluster',
        '--policies',
        '--listen',
        `127.0.0.1:${port}`,
        '--certificate-name',
        '127.0.0.1',
      ],
      ...['--namespace', OWN_NAMESPACE, '--hook-image', IMAGE, '--shutdown-delay', '0'],
      ...['--mutating-configuration', NAME, '--validating-configuration', NAME],
    ]);
    await program.says(/https:\/\//);
    return program;
  };
  const controller = (version) => start(version, ['controller', '--namespace', OWN_NAMESPACE]);
  const agent = (version, node) =>
    start(version, [
      ...['agent', '--host', join(ctx.root, 'src/cli/demo/two-gpu-host'), '--node-name', node],
      ...['--kubelet-dir', join(folder, node), '--state-dir', join(folder, `${node}-state`)],
    ]);
  const handOver = async (name, node) => {
    const path = `${VMIS}/${name}`;
    const object = await admin.get(path);
    object.metadata.labels = { ...object.metadata.labels, 'kubevirt.io/nodeName': node };
    object.status = { ...object.status, phase: 'Scheduled', nodeName: node };
    return controllerOfKubeVirt.replace(path, object);
  };
  /** A VM on this node, from its creation until it has the values. */
  const handed = async (name, node) => {
    await eventually('the webhook is trusted', () => admin.create(VMIS, vmi(name, { gpus: 2 })), 60);
    return eventually(
      'the values are handed over',
      async () => {
        const object = await handOver(name, node);
        const values = JSON.parse(object.metadata.annotations?.[RESOLVED] ?? '{}');
        return values.node === node && Object.keys(values.devices).length === 3 && object;
      },
      60,
    );
  };
  const labelled = (node) =>
    eventually(
      `${node} is labelled`,
      async () => {
        const { labels = {} } = (await admin.get(`/api/v1/nodes/${node}`)).metadata;
        return labels['vsmmu.io/accel'] === 'on' && labels['vsmmu.io/ssidsize'] !== undefined;
      },
      60,
    );
  const bundle = async () =>
    (await admin.get(`${REGISTRATION}/mutatingwebhookconfigurations/${NAME}`)).webhooks[0].clientConfig
      .caBundle;

  const vms = {};
  const bundles = [];
  const beside = async (name, { agents, others, node }) => {
    await admin.create('/api/v1/nodes', { metadata: { name: node } });
    const followers = [controller(others), await webhook(others)];
    const running = [agent(agents, node), ...followers];
    try {
      await ctx.check(name, async () => {
        vms[others] = await handed(`vm-${others}`, node);
        await labelled(node);
        for (const program of followers) assert.doesNotMatch(program.said, /"level":"error"/);
      });
      bundles.push(await bundle());
    } finally {
      for (const program of running) await program.end();
    }
  };
  await beside(FLEET.newerAgent, { agents: 'newer', others: 'older', node: 'node-newer' });
  await beside(FLEET.olderAgent, { agents: 'older', others: 'newer', node: 'node-older' });
  await ctx.check(FLEET.authority, async () => {
    const back = await webhook('older');
    try {
      vms.back = await handed('vm-back', 'node-newer');
      bundles.push(await bundle());
      assert.equal(new Set(bundles).size, 1, 'an upgrade made another authority');
    } finally {
      await back.end();
    }
  });
  return vms;
}
