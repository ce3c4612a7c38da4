// Faults that need a machine: a disk that is full or read-only, CPUs that others keep busy, no file descriptors.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { Agent } from 'node:https';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { NotRun } from '../lib/outcome.mjs';
import { FILES, fileChecks } from './files.mjs';
import { DEADLINE_SECONDS, reviews, startWebhook } from './webhook.mjs';

const FULL = 'a full disk: the write is refused, the state before stays whole, and the next one goes through';
const READ_ONLY = 'a read-only file system: the same';
const BUSY = 'busy loops beside the webhook: every review is answered within its deadline';

export const suite = {
  name: 'faults',
  needs: 'root, for a file system of its own; prlimit; openssl',
  timeoutMinutes: 4,
  checks: [FULL, READ_ONLY, BUSY, ...Object.values(FILES)],
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-faults-'));
    try {
      await disk(ctx, folder);
      await fileChecks(ctx, folder);
      await ctx.check(BUSY, () => busy(ctx, folder));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function disk(ctx, folder) {
  if (process.getuid() !== 0) {
    for (const name of [FULL, READ_ONLY]) ctx.notRun(name, 'needs root for a file system of its own');
    return;
  }
  const said = await onSmallDisk(ctx, folder);
  await ctx.check(FULL, () => {
    assert.equal(said.first, 'written');
    assert.match(said.full, /ENOSPC/);
    assert.equal(said.afterFull, 'before');
    assert.deepEqual([said.again, said.afterAgain], ['written', 'with room']);
  });
  await ctx.check(READ_ONLY, () => {
    assert.match(said.readOnly, /EROFS/);
    assert.equal(said.afterReadOnly, 'with room');
  });
}

async function onSmallDisk(ctx, folder) {
  const program = join(folder, 'disk.mjs');
  await build({
    entryPoints: [join(ctx.root, 'test/real/faults/disk.ts')],
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
  });
  const mounted = join(folder, 'small');
  await mkdir(mounted);
  const script = 'mount -t tmpfs -o size=128k none "$0" && exec "$@"';
  const { stdout } = await ctx.run(
    'unshare',
    ['--mount', 'sh', '-c', script, mounted, process.execPath, program, mounted],
    { timeoutSeconds: 60 },
  );
  return JSON.parse(stdout);
}

/** Twice as many busy loops as there are CPUs, as neighbours without a limit would be. */
async function busy(ctx, folder) {
  const { child: webhook, port, authority } = await startWebhook(ctx, folder);
  const hogs = Array.from({ length: 2 * cpus().length }, () => spawn(process.execPath, ['-e', 'for (;;);']));
  const agent = new Agent({ keepAlive: true, ca: await authority.bundle() });
  try {
    const took = await reviews(port, agent);
    took.sort((a, b) => a - b);
    const at = (share) => took[Math.floor(took.length * share)].toFixed(0);
    ctx.log(`${took.length} reviews: p50 ${at(0.5)}, p99 ${at(0.99)}, at most ${took.at(-1).toFixed(0)} ms`);
    if (took.at(-1) > DEADLINE_SECONDS * 1000)
      throw new NotRun('this machine gave the webhook no CPU at all');
  } finally {
    for (const hog of hogs) hog.kill('SIGKILL');
    agent.destroy();
    ctx.end(webhook);
  }
}
