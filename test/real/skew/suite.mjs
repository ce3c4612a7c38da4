// Programs of this version beside programs of the one before it, as they stand beside each other while a cluster is
// upgraded or taken back: on a real kube-apiserver with this version's definitions, over one state of agent and webhook.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installCrds } from '../fleet/crds.mjs';
import { Cluster } from '../kubernetes/cluster.mjs';
import { writeKubeconfig } from '../kubernetes/kubeconfig.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { loadProduct } from '../kubernetes/product.mjs';
import { AGENT, agentChecks } from './agent.mjs';
import { FLEET, fleetChecks } from './fleet.mjs';
import { HOOK, hookChecks } from './hook.mjs';
import { olderVersion } from './older.mjs';

export const suite = {
  name: 'skew',
  needs: 'git history, for the older version; Go, for kube-apiserver and etcd; Helm of npm',
  timeoutMinutes: 6,
  checks: [AGENT, FLEET, HOOK].flatMap((names) => Object.values(names)),
  async run(ctx) {
    const older = await olderVersion(ctx);
    ctx.log(`the older version is ${older.name}`);
    const versions = { older: older.vsmmu, newer: ctx.vsmmu };
    const product = await loadProduct(ctx);
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-skew-'));
    try {
      await agentChecks(ctx, { versions, product, folder });
      const cluster = await Cluster.start(ctx);
      try {
        await installVmiCrd(ctx, cluster);
        await installCrds(ctx, cluster);
        const kubeconfig = await writeKubeconfig(cluster, join(folder, 'kubeconfig'));
        const handed = await fleetChecks(ctx, { versions, cluster, kubeconfig, folder });
        await hookChecks(ctx, { versions, product, folder, handed });
      } finally {
        await cluster.stop();
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
