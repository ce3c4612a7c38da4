import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir } from 'node:fs/promises';
import { Agent } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { LiveRoot } from '../kubelet/live-root.mjs';
import { devicesOverNodes } from '../kubelet/recording.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { loadProduct } from '../kubernetes/product.mjs';
import { NotRun } from '../lib/outcome.mjs';
import { reviews, startWebhook } from './webhook.mjs';

export const FILES = {
  agent:
    'an agent without a file descriptor takes no device for gone, and follows the host again when it has some',
  webhook: 'more connections than a webhook has file descriptors: it serves on',
};

const RESOURCE = 'vsmmu.io/10de-2941';
const CONNECTIONS = 200;

export async function fileChecks(ctx, folder) {
  await ctx.check(FILES.agent, () => agentWithoutFiles(ctx, folder));
  await ctx.check(FILES.webhook, () => webhookWithoutFiles(ctx, folder));
}

/** How many file descriptors a program may have from now on. */
function limitFiles(ctx, { pid }, count) {
  return ctx.run('prlimit', ['--pid', String(pid), `--nofile=${count}:`]);
}

async function agentWithoutFiles(ctx, folder) {
  if (process.getuid() !== 0) throw new NotRun('needs root for a host made up in a mount namespace');
  const { KubeletPeer } = await loadProduct(ctx);
  const devices = devicesOverNodes(4, 2);
  const host = await LiveRoot.create(join(folder, 'host'), devices);
  const kubelet = new KubeletPeer(await mkdtemp(join(folder, 'kubelet-')));
  await kubelet.start();
  const [command, ...args] = host.wrap([
    ...[process.execPath, ctx.vsmmu, 'agent', '--kubelet-dir', kubelet.root, '--rescan-seconds', '1'],
  ]);
  const agent = ctx.start(command, args);
  let said = '';
  agent.stderr.on('data', (text) => (said += text));
  const healthy = () =>
    Object.values(kubelet.health(RESOURCE) ?? {}).filter((one) => one === 'Healthy').length;
  try {
    await eventually('all are there', () => healthy() === devices.length, 60);
    await limitFiles(ctx, agent, 1);
    said = '';
    await host.unplug(devices[0].bdf);
    await eventually('it tells', () => said.includes('EMFILE'), 60);
    await pause(2500); // some rescans more
    assert.equal(healthy(), devices.length);
    assert.equal(agent.exitCode, null);
    await limitFiles(ctx, agent, 1024);
    await eventually('the one that went is seen', () => healthy() === devices.length - 1, 60);
  } finally {
    ctx.end(agent);
    await kubelet.close();
  }
}

async function webhookWithoutFiles(ctx, folder) {
  const { child, port, authority } = await startWebhook(ctx, await mkdtemp(join(folder, 'webhook-')));
  const agent = new Agent({ keepAlive: true, ca: await authority.bundle() });
  try {
    const open = (await readdir(`/proc/${child.pid}/fd`)).length;
    await limitFiles(ctx, child, open + 20);
    const silent = Array.from({ length: CONNECTIONS }, () =>
      connect(port, '127.0.0.1').on('error', () => undefined),
    );
    const ended = silent.map((socket) => once(socket, 'close'));
    await pause(500);
    for (const socket of silent) socket.destroy();
    await Promise.all(ended);
    const took = await reviews(port, agent);
    ctx.log(`${took.length} reviews after ${CONNECTIONS} connections with ${open + 20} file descriptors`);
    assert.equal(child.exitCode, null);
  } finally {
    agent.destroy();
    ctx.end(child);
  }
}
