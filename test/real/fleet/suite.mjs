// A real kube-apiserver with a real etcd, the chart's CustomResourceDefinitions and KubeVirt's, and `vsmmu controller`
// beside it with the rights that docs/fleet.md names. Nodes and profiles are objects only; no kubelet is there.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster } from '../kubernetes/cluster.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { ADMISSION, admissionChecks } from './admission.mjs';
import { COMMANDS, commandChecks } from './commands.mjs';
import { CONTROLLER, controllerChecks } from './controller.mjs';
import { CRDS, crdChecks, installCrds } from './crds.mjs';
import { controllerKubeconfig, kubeconfig } from './replica.mjs';
import { SCALE, scaleChecks } from './scale.mjs';
import { UPGRADE, upgradeChecks } from './upgrade.mjs';

export const suite = {
  name: 'fleet',
  needs: 'Go, for kube-apiserver and etcd',
  timeoutMinutes: 14,
  checks: [CRDS, CONTROLLER, ADMISSION, UPGRADE, COMMANDS, SCALE].flatMap((names) => Object.values(names)),
  async run(ctx) {
    const cluster = await Cluster.start(ctx);
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-fleet-'));
    try {
      await installVmiCrd(ctx, cluster);
      await installCrds(ctx, cluster);
      const file = await controllerKubeconfig(cluster, folder);
      await crdChecks(ctx, cluster);
      await controllerChecks(ctx, cluster, file);
      await admissionChecks(ctx, cluster);
      await upgradeChecks(ctx, cluster, file);
      await commandChecks(ctx, cluster, await kubeconfig(cluster, folder, 'admin', cluster.adminToken));
      await scaleChecks(ctx, cluster, file);
    } finally {
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};
