import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { Balancer } from './balancer.mjs';
import { withLoad } from './load.mjs';
import { vmi, VMIS } from './vmi.mjs';

export const FAULTS = {
  down: 'the webhook is down: VMIs of ours are refused with its name, all others are admitted; then it is back',
  hangs: 'the webhook hangs (SIGSTOP): the same within its timeout',
  rolling: 'two replicas restart one after the other under load: no admission fails, each ends with status 0',
  leaf: 'a new certificate of the same CA under load: no admission fails',
  authority: 'a new CA under load, old and new trusted meanwhile: no admission of 5,000 fails',
};

export async function faultChecks(ctx, cluster, webhook) {
  const { admin } = cluster;
  const create = (name, options) =>
    admin.exchange('POST', VMIS, { body: vmi(name, options), query: { dryRun: 'All' } });
  const check = (name, act) =>
    ctx.check(name, async () => {
      if (!webhook.replica.running) await webhook.replica.run();
      await eventually('it admits', async () => (await create('before', { gpus: 1 })).status === 201);
      await act();
    });

  await check(FAULTS.down, async () => {
    await webhook.replica.end('SIGKILL');
    const refused = await create('down', { gpus: 1 });
    assert.equal(refused.status, 500);
    assert.match(refused.body.message, /vsmmu\.io/);
    assert.equal((await create('down-plain')).status, 201);
    await webhook.replica.run();
    await eventually('it admits again', async () => (await create('again', { gpus: 1 })).status === 201);
  });
  await check(FAULTS.hangs, async () => {
    webhook.replica.signal('SIGSTOP');
    try {
      const start = performance.now();
      const refused = await create('hangs', { gpus: 1 });
      ctx.log(`refused after ${Math.round(performance.now() - start)} ms`);
      assert.equal(refused.status, 500);
      assert.match(refused.body.message, /context deadline exceeded|timeout/i);
      assert.equal((await create('hangs-plain')).status, 201);
    } finally {
      webhook.replica.signal('SIGCONT');
    }
    await eventually('it admits again', async () => (await create('again', { gpus: 1 })).status === 201);
  });
  await check(FAULTS.rolling, () => rollingRestart(ctx, webhook, create));
  await check(FAULTS.leaf, async () => {
    const count = await withLoad(create, async (load) => {
      for (let round = 0; round < 3; round++) {
        await load.reached(300);
        await newLeaf(webhook);
      }
      await load.reached(300);
    });
    ctx.log(`${count} admissions over 3 certificates`);
  });
  await check(FAULTS.authority, async () => {
    const count = await withLoad(create, async (load) => {
      await load.reached(500);
      const before = await webhook.authority.bundle();
      await webhook.newAuthority('second-ca');
      const after = await webhook.authority.bundle();
      await webhook.trust(before + after);
      await load.reached(1500); // as long as it takes the API server to take notice: nothing tells when it has
      await newLeaf(webhook);
      await load.reached(1000);
      await webhook.trust(after);
      await load.reached(2000);
    });
    ctx.log(`${count} admissions`);
    assert.ok(count >= 5000);
  });
}

async function newLeaf(webhook) {
  // The webhook's log says when it serves another certificate.
  const reloads = () => webhook.replica.log.match(/certificate reloaded/g)?.length ?? 0;
  const before = reloads();
  await webhook.authority.issue(webhook.files);
  await eventually('the webhook has read the new pair', () => reloads() > before, 40);
}

/** What a Deployment does to two pods, and a Service to who calls them. */
async function rollingRestart(ctx, webhook, create) {
  const balancer = await Balancer.listen();
  const replicas = [webhook.replica, await webhook.startReplica()];
  const endpoints = (without) => replicas.filter((one) => one !== without).map(({ port }) => port);
  balancer.use(endpoints());
  await webhook.route(balancer.port);
  try {
    const count = await withLoad(create, async (load) => {
      await load.reached(500);
      for (const replica of replicas) {
        const ended = replica.end('SIGTERM');
        await eventually('it says that it is not ready', async () => (await replica.ready()) !== 200);
        balancer.use(endpoints(replica));
        assert.equal(await ended, 0);
        await load.reached(200);
        await replica.run();
        balancer.use(endpoints());
        await load.reached(500);
      }
    });
    ctx.log(`${count} admissions over two restarts`);
  } finally {
    await webhook.route(webhook.replica.port);
    balancer.close();
    await replicas[1].end('SIGKILL');
  }
}
