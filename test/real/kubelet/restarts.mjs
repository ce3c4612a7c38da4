import assert from 'node:assert/strict';
import { podOf, RESOURCE, withNode } from './node.mjs';
import { devicesOverNodes } from './recording.mjs';

export const RESTARTS = {
  kubelet: 'kubelet stops and starts: registered again, capacity back, pods keep their devices',
  kubeletKilled: 'kubelet is killed and starts: the same',
  agentKilled: 'the agent is killed and starts: the same',
  both: 'both are killed and start, in either order',
  matesAfterRestart: 'an agent that restarted still keeps a group mate of a pod’s device back',
  random:
    'killed at 200 random points, either side: capacity always comes back, no device is lost or doubled',
};

const KILLS = 200;

export async function restartChecks(ctx, program) {
  const devices = devicesOverNodes(8, 2);
  const running = (use) =>
    withNode(ctx, { program, devices }, async (node) => {
      await node.startKubelet({ numa: [0, 1] });
      const agent = node.startAgent();
      await node.counts(8, 8);
      const before = await node.run('a', 3);
      await use(node, agent);
      await node.counts(8, 8);
      assert.deepEqual(await node.devicesOf('a'), before, 'the pod’s devices changed');
      const others = await node.run('b', 5);
      assert.equal(new Set([...before, ...others]).size, 8, 'a device went to two pods');
    });

  await ctx.check(RESTARTS.kubelet, () =>
    running(async (node) => {
      await node.stopKubelet();
      await node.startKubelet();
      ctx.log(`counted ${Math.round(await node.counts(8, 8))} ms after kubelet's return`);
    }),
  );
  await ctx.check(RESTARTS.kubeletKilled, () =>
    running(async (node) => {
      await node.killKubelet();
      await node.startKubelet();
      ctx.log(`counted ${Math.round(await node.counts(8, 8))} ms after kubelet's return`);
    }),
  );
  await ctx.check(RESTARTS.agentKilled, () =>
    running(async (node, agent) => {
      await agent.kill();
      await node.counts(8, 0);
      node.startAgent();
      ctx.log(`counted ${Math.round(await node.counts(8, 8))} ms after the agent's start`);
    }),
  );
  await ctx.check(RESTARTS.both, async () => {
    for (const agentFirst of [true, false]) {
      await running(async (node, agent) => {
        await agent.kill();
        await node.killKubelet();
        if (agentFirst) node.startAgent();
        await node.startKubelet();
        if (!agentFirst) node.startAgent();
        await node.counts(8, 8);
      });
    }
  });
  await ctx.check(RESTARTS.matesAfterRestart, () => matesAfterRestart(ctx, program));
  await ctx.check(RESTARTS.random, () => killAtRandom(ctx, program, devices));
}

async function matesAfterRestart(ctx, program) {
  const mate = 'vsmmu.io/10de-2942-ats';
  const devices = [
    { bdf: '0001:01:00.0', group: 1 },
    { bdf: '0001:01:00.1', group: 1, device: '0x2942' },
  ];
  await withNode(ctx, { program, devices }, async (node) => {
    await node.startKubelet();
    const agent = node.startAgent();
    await node.counts(1, 1, RESOURCE);
    await node.counts(1, 1, mate);
    await node.run('a', 1, RESOURCE);
    await agent.kill();
    await node.counts(1, 0, mate);
    node.startAgent();
    await node.counts(1, 1, RESOURCE);
    await node.counts(1, 0, mate);
    assert.equal((await node.admit(podOf('b', { [mate]: 1 }))).admitted, false);
  });
}

/** A fixed sequence for a seed, so that a failure can be repeated (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function killAtRandom(ctx, program, devices) {
  const seed = Number(process.env.VSMMU_SEED ?? Date.now() % 1_000_000);
  ctx.log(`seed ${seed} (VSMMU_SEED repeats it)`);
  const next = random(seed);
  await withNode(ctx, { program, devices }, async (node) => {
    await node.startKubelet({ numa: [0, 1] });
    let agent = node.startAgent();
    await node.counts(8, 8);
    const held = new Map();
    for (let kill = 0; kill < KILLS; kill++) {
      // Sooner than a start takes, so that both start-up and steady state are hit; every other time with pods coming.
      const victim = next() < 0.5 ? 'kubelet' : 'agent';
      const busy = kill % 2 === 0 ? podsComeAndGo(node, held, next) : Promise.resolve();
      await pauseMilliseconds(next() * 400);
      if (victim === 'kubelet') {
        await node.killKubelet();
        await busy.catch(() => undefined);
        await node.startKubelet();
      } else {
        await agent.kill();
        await busy.catch(() => undefined);
        agent = node.startAgent();
      }
      if (next() < 0.5) continue; // the next kill comes while this one is being got over
      await node.counts(8, 8);
      await audit(node, held);
    }
    await node.counts(8, 8);
    await audit(node, held);
  });
}

async function podsComeAndGo(node, held, next) {
  for (let i = 0; ; i++) {
    const [oldest] = held.keys();
    if (oldest !== undefined && (held.size > 4 || next() < 0.5)) {
      held.delete(oldest);
      await node.remove(oldest);
    }
    const uid = `pod-${Math.floor(next() * 1e9)}`;
    const { admitted } = await node.admit(podOf(uid, { [RESOURCE]: 1 }));
    if (admitted) held.set(uid, true);
    if (i > 3) return;
  }
}

/** Every pod that kubelet admitted has one device of this host, and no two have the same. */
async function audit(node, held) {
  const owners = new Map();
  for (const uid of held.keys()) {
    for (const bdf of await node.devicesOf(uid)) {
      assert.match(bdf, /^000[1-8]:01:00\.0$/);
      assert.equal(owners.get(bdf), undefined, `${bdf} is ${owners.get(bdf)}'s and ${uid}'s`);
      owners.set(bdf, uid);
    }
  }
}

function pauseMilliseconds(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
