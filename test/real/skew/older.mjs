import { mkdir, rm, symlink } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';

/** Of 24 November 2026: complete, from agent to hook, and before any release; it stands in until there is a tag. */
const BEFORE_RELEASES = '4238885';

/**
 * The version before this one, built from this repository's history with the packages of now.
 * @returns {Promise<{ name: string, vsmmu: string }>} its name and its program
 */
export async function olderVersion(ctx) {
  const git = (...args) => ctx.run('git', ['-C', ctx.root, ...args], { check: false });
  const tag = await git('describe', '--tags', '--abbrev=0', 'HEAD^');
  const name = tag.status === 0 ? tag.stdout.trim() : BEFORE_RELEASES;
  const known = await git('cat-file', '-e', `${name}^{commit}`);
  if (known.status !== 0) throw new NotRun(`this clone's history does not have ${name}`);
  const folder = await ctx.cache('older', name);
  const vsmmu = join(folder, 'dist', 'vsmmu.js');
  if (!existsSync(vsmmu)) {
    await rm(folder, { recursive: true });
    await mkdir(folder);
    const script = 'git -C "$0" archive "$1" | tar -x';
    await ctx.run('sh', ['-c', script, ctx.root, name], { cwd: folder, timeoutSeconds: 60 });
    await symlink(join(ctx.root, 'node_modules'), join(folder, 'node_modules'));
    await ctx.run(process.execPath, ['scripts/build.mjs'], { cwd: folder, timeoutSeconds: 120 });
  }
  return { name, vsmmu };
}
