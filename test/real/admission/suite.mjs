// `vsmmu webhook --cluster` behind the registrations of src/admission/registration.ts, and agents behind the policy of
// src/cluster/agent-policy.ts: who may write what, and what still works when parts of a cluster stop. KubeVirt's
// controllers are not there; their writes are made as them.
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { NAMESPACE } from '../webhook/vmi.mjs';
import { AGENT, agentChecks } from './agent.mjs';
import { Installation, OWN_NAMESPACE } from './installation.mjs';
import { loadProduct } from '../kubernetes/product.mjs';
import { SLICE, sliceChecks } from './slices.mjs';
import { VALUES, valueChecks } from './values.mjs';

export const suite = {
  name: 'admission',
  needs: 'Go, for kube-apiserver and etcd; Helm of npm',
  timeoutMinutes: 8,
  checks: [AGENT, SLICE, VALUES].flatMap((names) => Object.values(names)),
  async run(ctx) {
    const product = await loadProduct(ctx);
    const cluster = await Cluster.start(ctx);
    let installation;
    try {
      const { admin } = cluster;
      await installVmiCrd(ctx, cluster);
      await admin.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', product.nodeProfileCrd());
      await eventually('NodeProfiles are served', () => admin.get('/apis/vsmmu.io/v1alpha1/nodeprofiles'));
      for (const name of [NAMESPACE, OWN_NAMESPACE, 'kubevirt']) {
        await admin.create('/api/v1/namespaces', { metadata: { name } });
      }
      await agentChecks(ctx, cluster, product);
      await sliceChecks(ctx, cluster);
      installation = await Installation.create(ctx, cluster, product);
      await valueChecks(ctx, cluster, product, installation);
    } finally {
      await installation?.close();
      await cluster.stop();
    }
  },
};
