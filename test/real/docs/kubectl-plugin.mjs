import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';

export const plugin = 'kubectl runs vsmmu as its plugin';

/**
 * As docs/fleet.md says: a link of that name on the PATH.
 *
 * @param {import('../lib/context.mjs').Context} ctx
 * @param {string} kubectl path of the program
 * @param {string} folder where the link is made, and kubectl's home
 */
export async function checkPlugin(ctx, kubectl, folder) {
  await symlink(ctx.vsmmu, join(folder, 'kubectl-vsmmu'));
  const env = { PATH: `${folder}:${process.env.PATH}`, HOME: folder };
  const listed = await ctx.run(kubectl, ['plugin', 'list'], { env });
  assert.match(listed.stdout, /kubectl-vsmmu$/m);
  const help = await ctx.run(kubectl, ['vsmmu', 'explain', 'vmi', '--help'], { env });
  assert.match(help.stdout, /^Usage: kubectl vsmmu explain vmi /);
  const host = join(ctx.root, 'src/cli/demo/two-gpu-host');
  const nodes = await ctx.run(kubectl, ['vsmmu', 'nodes', '--host', host, '-o', 'wide'], { env });
  assert.match(nodes.stdout, /^two-gpu-host +2 +2\/2 /m);
}
