import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { Balancer } from './balancer.mjs';
import { dripping, Interposer, late, reset, whole } from './interposer.mjs';
import { withLoad } from './load.mjs';
import { vmi, VMIS } from './vmi.mjs';

export const FAULTS = {
  down: 'the webhook is down: VMIs of ours are refused with its name, all others are admitted; then it is back',
  hangs: 'the webhook hangs (SIGSTOP): the same within its timeout',
  spoiled:
    'answers with another uid, a bad patch, too late, a byte a second, reset or cut short count as none: the same, and an honest one heals it; one of 10 MB is read',
  tenMegabytes:
    'a body of 10 MB gets 413 in an AdmissionReview; the webhook serves on, and its memory is bounded',
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
  await check(FAULTS.spoiled, () => spoiledAnswers(ctx, webhook, create));
  await check(FAULTS.tenMegabytes, async () => {
    const { status, body } = await webhook.replica.post('/mutate?timeout=10s', Buffer.alloc(10_000_000, 32));
    assert.equal(status, 413);
    assert.equal(body.kind, 'AdmissionReview');
    assert.equal(body.response.allowed, false);
    assert.equal(body.response.status.code, 413);
    for (let i = 0; i < 20; i++) await webhook.replica.post('/mutate', Buffer.alloc(10_000_000, 32));
    const mebibytes = await webhook.replica.residentMiB();
    ctx.log(`${Math.round(mebibytes)} MiB resident after 210 MB`);
    assert.ok(mebibytes < 200, `${mebibytes} MiB`);
    assert.equal((await create('after', { gpus: 1 })).status, 201);
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

const patched = (patch) => (text) =>
  text.replace(/"patch":"[^"]+"/, `"patch":"${Buffer.from(JSON.stringify(patch)).toString('base64')}"`);
const untouched = (text) => text;

/** Ways in which an answer can be none, and what the API server then says of it. */
const SPOILED = {
  'another uid': [
    (text) => text.replace(/"uid":"[^"]+"/, '"uid":"00000000-0000-0000-0000-000000000000"'),
    whole,
    /expected response.uid/,
  ],
  'a patch that is none': [patched({ op: 'none' }), whole, /cannot unmarshal/],
  'a patch that does not apply': [patched([{ op: 'remove', path: '/spec/nowhere' }]), whole, /nowhere/],
  'too late': [untouched, late, /deadline|timeout/i],
  'a byte a second': [untouched, dripping, /deadline|timeout/i],
  reset: [untouched, reset, /EOF|reset/i],
  'cut short': [(text) => text.slice(0, text.length / 2), whole, /unexpected|EOF|decode/i],
};

async function spoiledAnswers(ctx, webhook, create) {
  const interposer = await Interposer.start(webhook.files, webhook.replica.port);
  await webhook.route(interposer.port);
  try {
    const admitted = async () => (await create('honest', { gpus: 1 })).status === 201;
    for (const [what, [spoil, send, said]] of Object.entries(SPOILED)) {
      interposer.spoil(spoil, send);
      const refused = await eventually(`${what} refuses`, async () => {
        const answer = await create('spoiled', { gpus: 1 });
        return answer.status !== 201 && answer;
      });
      ctx.log(`${what}: ${refused.status} ${refused.body.message.slice(0, 200)}`);
      assert.equal(refused.status, 500, what);
      assert.match(refused.body.message, said, what);
      assert.equal((await create('spoiled-plain')).status, 201, what);
      interposer.spoil(untouched);
      await eventually('it admits again', admitted);
    }
    interposer.spoil((text) => text.replace('{', `{"padding":"${'x'.repeat(10_000_000)}",`));
    assert.ok(await admitted(), 'an API server has no limit for answers');
  } finally {
    await webhook.route(webhook.replica.port);
    interposer.close();
  }
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
