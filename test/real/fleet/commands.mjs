import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
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
} from './objects.mjs';

export const COMMANDS = {
  explain: '`vsmmu explain vmi NAME` over a cluster: policy, nodes, values',
  claims:
    '`vsmmu explain vmi NAME` of one that asks by ResourceClaims looks at them, and says what it cannot know',
  overview: '`vsmmu status`, `nodes` and `baseline` over a cluster',
  checked: '`vsmmu check -f` over a cluster: what would be refused, and where the VMI could start',
};

export async function commandChecks(ctx, cluster, file) {
  const { admin } = cluster;
  const folder = dirname(file);
  const vsmmu = async (...args) => {
    const { status, stdout, stderr } = await ctx.run(
      process.execPath,
      [ctx.vsmmu, ...args, '--kubeconfig', file],
      { check: false, timeoutSeconds: 30 },
    );
    return { status, stdout, stderr };
  };
  const [name] = ['command-node'];
  await admin.create(NODES, node(name));
  await admin.create(PROFILES, profile(name, { gpus: 2 }));
  await admin.create(BASELINES, baseline('empty', { nodeSelector: { matchLabels: { none: 'such' } } }));
  await admin.create(POLICIES, policy('sixteen', { properties: { ssidsize: 16 } }));
  await admin.create(VMIS, vmi('train', { gpus: 2 }));

  await ctx.check(COMMANDS.explain, async () => {
    const { status, stdout, stderr } = await vsmmu('explain', 'vmi', 'train', '-o', 'json');
    assert.equal(status, 0, stderr);
    const { touched, policy: decided, nodes } = JSON.parse(stdout);
    assert.equal(touched.value, true);
    assert.deepEqual(decided.properties.ssidsize, { value: 16, from: 'Policy sixteen' });
    const fit = nodes.find((one) => one.node === name);
    assert.equal(fit.fits, 'yes');
    assert.equal(fit.smmus[0].vsmmu.ssidsize, 16);
    const missing = await vsmmu('explain', 'vmi', 'no-such');
    assert.equal(missing.status, 3);
    assert.match(missing.stderr, /error\[KUBE_NOT_FOUND\]/);
  });

  await ctx.check(COMMANDS.claims, async () => {
    const dra = '/apis/resource.k8s.io/v1';
    const selectors = [{ cel: { expression: 'device.driver == "vsmmu.io"' } }];
    await admin.create(`${dra}/deviceclasses`, { metadata: { name: 'explained' }, spec: { selectors } });
    const claiming = vmi('claiming');
    claiming.spec.domain.devices = { gpus: [{ name: 'g', claimName: 'c', requestName: 'one' }] };
    claiming.spec.resourceClaims = [{ name: 'c', resourceClaimTemplateName: 'explained' }];
    await admin.create(VMIS, claiming);
    const explained = async () => {
      const { stdout, stderr } = await vsmmu('explain', 'vmi', 'claiming', '-o', 'json');
      assert.equal(stderr, '');
      return JSON.parse(stdout);
    };
    assert.equal((await explained()).touched.value, 'unknown');
    const request = { name: 'one', exactly: { deviceClassName: 'explained' } };
    await admin.create(`${dra}/namespaces/default/resourceclaimtemplates`, {
      metadata: { name: 'explained' },
      spec: { spec: { devices: { requests: [request] } } },
    });
    const { touched, nodes } = await explained();
    assert.equal(touched.value, true);
    const fit = nodes.find((one) => one.node === name);
    assert.equal(fit.fits, 'partly');
    assert.match(fit.reasons.join(), /decides by selectors/);
    assert.equal(fit.smmus[0].vsmmu.ssidsize, 16);
    await admin.delete(`${VMIS}/claiming`);
  });

  await ctx.check(COMMANDS.overview, async () => {
    const nodes = await vsmmu('nodes', '-o', 'wide');
    assert.match(nodes.stdout, new RegExp(`^${name} +1 +1/1 +2 +2 `, 'm'));
    const status = await vsmmu('status');
    assert.equal(status.status, 1);
    assert.match(status.stdout, /finding: Baseline empty has no member/);
    const baselines = await vsmmu('baseline', '-o', 'json');
    assert.ok(JSON.parse(baselines.stdout).baselines.some((one) => one.name === 'empty'));
  });

  await ctx.check(COMMANDS.checked, async () => {
    const path = join(folder, 'vmi.json');
    const check = async (object) => {
      await writeFile(path, JSON.stringify(object));
      return vsmmu('check', '-f', path, '-o', 'json');
    };
    const sound = await check(vmi('checked'));
    assert.equal(sound.status, 0, sound.stdout + sound.stderr);
    const refused = await check(vmi('checked', { annotations: { 'vsmmu.io/baseline': 'empty' } }));
    assert.equal(refused.status, 1);
    assert.equal(JSON.parse(refused.stdout).findings[0].code, 'POLICY_UNRESOLVED');
    const many = await check(vmi('checked', { gpus: 3 }));
    assert.equal(many.status, 1);
    assert.match(JSON.parse(many.stdout).findings[0].message, /it has 2 of 3 vsmmu\.io\/10de-2941-ats/);
  });
}
