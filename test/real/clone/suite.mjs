import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, realpath, rm, symlink } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';

const demo = 'npm ci && npm run demo, in a fresh clone with nothing but Node and npm';
const test = 'npm ci && npm test, likewise';

/** The two commands of the README, as somebody has them who has just cloned it on a bare Debian with Node. */
export const suite = {
  name: 'clone',
  needs: 'git and dpkg for the clone itself; then only Node, npm and what every Debian has',
  timeoutMinutes: 25,
  checks: [demo, test],
  async run(ctx) {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-clone-'));
    try {
      const clone = join(folder, 'vsmmu');
      const { status, stderr } = await ctx.run(
        'git',
        ['clone', '--quiet', '--no-hardlinks', ctx.root, clone],
        {
          check: false,
        },
      );
      if (status !== 0) throw new NotRun(`this is no clone itself: ${stderr.trim()}`);
      const path = await bareTools(ctx, folder);
      const inside = (command) =>
        ctx.run('env', ['-i', ...environment(folder, path), 'sh', '-c', command], {
          cwd: clone,
          timeoutSeconds: 1200,
        });
      // A download that fails is no failure of the project; everything behind it is.
      const both = async (then) => {
        await ctx.retry('npm ci', () => inside('npm ci --no-audit --no-fund'));
        return inside(then);
      };
      await ctx.check(demo, async () => {
        const { stdout } = await both('npm run demo');
        assert.match(stdout, /the same XML as the command line, from the annotation alone/);
      });
      await ctx.check(test, async () => {
        // All of it would be too much to read; what failed is not.
        const { stdout } = await both(
          'npm test >npm-test.log 2>&1 || { grep -E "●|^Tests:" npm-test.log | sort -u; exit 1; }; grep ^Tests: npm-test.log',
        );
        assert.match(stdout, /^Tests: +(\d+ skipped, )?\d+ passed, \d+ total$/m);
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

/** A folder with the programs of Debian's essential packages, Node and npm; nothing else is on the path. */
async function bareTools(ctx, folder) {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  const { stdout: packages } = await ctx.run('dpkg-query', ['-W', '-f', '${Package} ${Essential}\n']);
  const essential = packages
    .split('\n')
    .filter((line) => line.endsWith(' yes'))
    .map((line) => line.split(' ')[0]);
  const { stdout: files } = await ctx.run('dpkg-query', ['-L', ...essential]);
  const programs = files.split('\n').filter((file) => /^(\/usr)?\/s?bin\/[^/]+$/.test(file));
  const node = await realpath(process.execPath);
  const { stdout: npm } = await ctx.run('npm', ['prefix', '--global']);
  for (const name of ['npm', 'npx']) programs.push(join(npm.trim(), 'bin', name));
  for (const file of [...new Set(programs)])
    await symlink(file, join(bin, basename(file))).catch((error) => {
      if (error.code !== 'EEXIST') throw error;
    });
  await symlink(node, join(bin, 'node'));
  // awk and which are essential too, by alternatives that no package lists.
  for (const name of await readdir('/etc/alternatives'))
    if (['awk', 'which'].includes(name))
      await symlink(join('/etc/alternatives', name), join(bin, name)).catch(() => undefined);
  return bin;
}

/** What a login gives, and how this machine reaches its registry. */
function environment(folder, path) {
  const passed = Object.entries(process.env).filter(([name]) =>
    /^(https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|npm_config_(registry|cafile|cache|userconfig))$/i.test(name),
  );
  const settings = {
    PATH: path,
    HOME: folder,
    TMPDIR: tmpdir(),
    NPM_CONFIG_USERCONFIG: join(homedir(), '.npmrc'),
    ...Object.fromEntries(passed),
  };
  return Object.entries(settings).map(([name, value]) => `${name}=${value}`);
}
