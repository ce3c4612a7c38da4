import assert from 'node:assert/strict';
import { join } from 'node:path';
import { writeRecording } from '../kubelet/recording.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { Program } from './program.mjs';

export const AGENT = {
  state:
    'an agent that is upgraded and taken back over one state: a pod’s device stays its own, its group mate stays kept back',
};

const RESOURCE = 'vsmmu.io/10de-2941-ats';
const [TAKEN, MATE, FREE] = ['0001:01:00.0', '0002:01:00.0', '0003:01:00.0'];
const DEVICES = [
  { bdf: TAKEN, group: 1 },
  { bdf: MATE, group: 1 },
  { bdf: FREE, group: 3 },
];

export async function agentChecks(ctx, { versions, product, folder }) {
  await ctx.check(AGENT.state, async () => {
    const host = join(folder, 'grouped');
    await writeRecording(host, DEVICES);
    const kubelet = new product.KubeletPeer(join(folder, 'kubelet'));
    await kubelet.start();
    await kubelet.servePodResources();
    const start = (version) =>
      new Program(ctx, versions[version], ['agent', '--host', host, '--kubelet-dir', kubelet.root]);
    const shows = (what, expected) =>
      eventually(
        what,
        () => {
          assert.deepEqual(kubelet.health(RESOURCE), expected);
          return true;
        },
        60,
      );
    const kept = { [TAKEN]: 'Healthy', [MATE]: 'Unhealthy', [FREE]: 'Healthy' };
    try {
      let agent = start('older');
      await shows('all are free', { [TAKEN]: 'Healthy', [MATE]: 'Healthy', [FREE]: 'Healthy' });
      await kubelet.allocate(RESOURCE, TAKEN);
      kubelet.pods.set('vms/virt-launcher-vm', new Map([[RESOURCE, [TAKEN]]]));
      await shows('the mate is kept back', kept);
      for (const version of ['newer', 'older', 'newer']) {
        assert.equal(await agent.end(), 0);
        await eventually('it is away', () => !kubelet.endpoints.has(RESOURCE));
        agent = start(version);
        await shows(`the ${version} agent keeps it back`, kept);
        await kubelet.allocate(RESOURCE, FREE);
      }
      await agent.end();
    } finally {
      await kubelet.close();
    }
  });
}
