// The DRA driver of `vsmmu agent --dra` in the whole chain of real parts: it publishes ResourceSlices to kube-apiserver,
// kube-scheduler allocates claims from them with CEL, kubelet's DRA manager prepares and unprepares them, and KubeVirt's
// own code finds the devices in what a container gets.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeKubeconfig } from '../kubernetes/kubeconfig.mjs';
import { Cluster } from '../kubernetes/cluster.mjs';
import { goProgram } from '../kubernetes/go-program.mjs';
import { createNode, startScheduler } from '../kubernetes/scheduler.mjs';
import { requireOption } from '../kubelet/node.mjs';
import { DRA, draChecks } from './checks.mjs';
import { Workload } from './workload.mjs';

export const suite = {
  name: 'dra',
  needs: 'Go, for kube-apiserver, etcd, kube-scheduler, kubelet’s DRA manager and KubeVirt’s reader',
  timeoutMinutes: 14,
  checks: Object.values(DRA),
  async run(ctx) {
    await requireOption(ctx, '--dra');
    const programs = {
      kubelet: await goProgram(ctx, 'kubelet-harness'),
      cdi: await goProgram(ctx, 'cdi-check'),
      launcher: await goProgram(ctx, 'kubevirt-hooks'),
      schema: await goProgram(ctx, 'cdi-schema', 'go-cdi-schema'),
    };
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-dra-'));
    const cluster = await Cluster.start(ctx);
    try {
      await startScheduler(ctx, cluster, folder);
      const kubeconfig = await writeKubeconfig(cluster, join(folder, 'agent.kubeconfig'));
      const workload = await Workload.prepare(cluster);
      await createNode(cluster, 'node-1');
      await draChecks(ctx, { cluster, workload, kubeconfig, programs });
    } finally {
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};
