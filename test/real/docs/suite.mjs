import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blocksOf } from '../../../scripts/docs/blocks.mjs';
import { Sandbox } from '../../../scripts/docs/sandbox.mjs';
import { node, profile } from '../fleet/objects.mjs';
import { currentHelm, helmOn, NAMESPACE, writeKubeconfig } from '../helm/helm-program.mjs';
import { PlayedKubelet } from '../helm/played-kubelet.mjs';
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { goProgram } from '../kubernetes/go-program.mjs';
import { installKubeVirtCrd, installVmiCrd } from '../kubernetes/kubevirt-crd.mjs';
import { checkPlugin, plugin } from './kubectl-plugin.mjs';

/** Every command of the documents that speaks to a cluster, as it stands there, with the real kubectl and Helm. */
export const suite = {
  name: 'docs',
  needs: 'Go for kubectl, Helm 4, etcd and kube-apiserver',
  timeoutMinutes: 15,
  async run(ctx) {
    const found = (await blocksOf(ctx.root)).filter(({ kind }) => kind === 'cluster');
    // Without Helm comes last: what it applies, Helm would not take over.
    const isLast = ({ text }) => text.includes('--kustomize');
    const blocks = [...found.filter((one) => !isLast(one)), ...found.filter(isLast)];
    ctx.plan(plugin, ...blocks.map(nameOf));
    const programs = { kubectl: await goProgram(ctx, 'kubectl'), helm: await currentHelm(ctx) };
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-docs-'));
    await ctx.check(plugin, () => checkPlugin(ctx, programs.kubectl, folder));
    const cluster = await Cluster.start(ctx);
    const kubeconfig = join(folder, 'kubeconfig');
    const sandbox = await Sandbox.make(ctx.root, { KUBECONFIG: kubeconfig });
    const kubelet = new PlayedKubelet(cluster, ctx.vsmmu, NAMESPACE);
    try {
      for (const [name, path] of Object.entries(programs))
        await symlink(path, join(sandbox.folder, 'bin', name));
      await writeKubeconfig(cluster, kubeconfig);
      await furnish(ctx, cluster);
      const test = { ctx, cluster, kubeconfig, folder, helm: programs.helm, sandbox };
      for (const block of blocks) await ctx.check(nameOf(block), () => runBlock(test, block));
    } finally {
      await kubelet.stop();
      await sandbox.remove();
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

/** Lines move; the first words of a block stay. */
function nameOf({ page, text }) {
  const [first, ...rest] = text.trimEnd().split('\n');
  return `${page}: ${first}${rest.length > 0 ? ' …' : ''}`;
}

async function runBlock(test, { text }) {
  await prepare(test, text);
  const { status, stdout, stderr } = await test.sandbox.run(text);
  assert.equal(status, 0, `${stdout}\n${stderr}`);
}

/** A cluster as the reader of that line has it. */
async function prepare(test, text) {
  const { ctx, cluster } = test;
  const isInstalled = (await helmOn(test, ['status', 'vsmmu'], { check: false })).status === 0;
  if (/helm install|--kustomize/.test(text)) {
    if (isInstalled) await helmOn(test, ['uninstall', 'vsmmu']);
    return;
  }
  const chart = join(ctx.root, 'charts', 'vsmmu');
  const values = text.includes('deviceclass') ? ['--set', 'agent.dra.enabled=true'] : [];
  if (!isInstalled) await helmOn(test, ['install', 'vsmmu', chart, '--create-namespace', ...values]);
  // As after an upgrade: there is something to go back to.
  else await helmOn(test, ['upgrade', 'vsmmu', chart, ...values]);
  await cluster.admin.apply('/apis/vsmmu.io/v1alpha1/nodeprofiles/node1', profile('node1', { gpus: 2 }));
  // No webhook is reached here; test/real/webhook is about what it answers.
  if (text.includes('kind: VirtualMachineInstance'))
    await test.sandbox.run(
      'kubectl delete mutatingwebhookconfiguration,validatingwebhookconfiguration -l app.kubernetes.io/part-of=vsmmu',
    );
}

async function furnish(ctx, cluster) {
  await installVmiCrd(ctx, cluster);
  await installKubeVirtCrd(ctx, cluster);
  await cluster.admin.create('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'kubevirt' },
  });
  await cluster.admin.create('/api/v1/nodes', node('node1'));
  await cluster.admin.create('/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts', {
    apiVersion: 'kubevirt.io/v1',
    kind: 'KubeVirt',
    metadata: { name: 'kubevirt' },
    spec: {
      configuration: {
        developerConfiguration: { featureGates: ['IOMMUFD'] },
        permittedHostDevices: {
          pciHostDevices: [{ pciVendorSelector: '8086:6F54', resourceName: 'intel.com/qat' }],
        },
      },
    },
  });
  await eventually('the namespace default is there', () => cluster.admin.get('/api/v1/namespaces/default'));
}
