// A real kube-apiserver with a real etcd and KubeVirt's VirtualMachineInstance CRD calls `vsmmu webhook`, configured by
// this project's chart. KubeVirt's own components are not there; their writes are made with their identities.
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { CREATE, createChecks } from './create.mjs';
import { FAULTS, faultChecks } from './faults.mjs';
import { Webhook } from './webhook.mjs';
import { NAMESPACE, vmi, VMIS } from './vmi.mjs';

export const suite = {
  name: 'webhook',
  needs: 'Go, for kube-apiserver and etcd; openssl; Helm of npm',
  timeoutMinutes: 14,
  checks: [CREATE, FAULTS].flatMap((names) => Object.values(names)),
  async run(ctx) {
    const cluster = await Cluster.start(ctx);
    let webhook;
    try {
      await installVmiCrd(ctx, cluster);
      await cluster.admin.create('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
      webhook = await Webhook.start(ctx, cluster);
      await eventually('the API server calls the webhook', async () => {
        const created = await cluster.admin.create(VMIS, vmi('first', { gpus: 1 }), { dryRun: 'All' });
        return created.metadata.annotations?.['hooks.kubevirt.io/hookSidecars'] !== undefined;
      });
      await createChecks(ctx, cluster, webhook);
      await faultChecks(ctx, cluster, webhook);
    } finally {
      await webhook?.close();
      await cluster.stop();
    }
  },
};
