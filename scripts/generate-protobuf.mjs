/**
 * Writes src/gen from proto/, offline: buf comes from node_modules, the plugin is protoc-gen-messages.mjs.
 * With --check nothing is written; the exit status says whether src/gen is what proto/ gives.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const committed = join(root, 'src/gen');

const template = (out) =>
  JSON.stringify({
    version: 'v2',
    plugins: [
      {
        local: ['node', join(root, 'scripts/protoc-gen-messages.mjs')],
        out,
        opt: ['target=ts'],
      },
    ],
  });

const files = (dir) =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(dir, name)).isFile())
    .sort();

const scratch = mkdtempSync(join(tmpdir(), 'vsmmu-gen-'));
try {
  execFileSync(join(root, 'node_modules/.bin/buf'), ['generate', 'proto', '--template', template(scratch)], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, BUF_CACHE_DIR: join(scratch, '.cache') },
  });
  rmSync(join(scratch, '.cache'), { recursive: true, force: true });
  if (process.argv.includes('--check')) check();
  else {
    rmSync(committed, { recursive: true, force: true });
    cpSync(scratch, committed, { recursive: true });
    console.log(`${relative(root, committed)}: ${files(committed).length} files`);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function check() {
  const read = (dir, name) => {
    try {
      return readFileSync(join(dir, name), 'utf8');
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }
  };
  const stale = [...new Set([...files(scratch), ...files(committed)])].filter(
    (name) => read(scratch, name) !== read(committed, name),
  );
  if (stale.length === 0) return;
  console.error(`src/gen is not what proto/ gives; run "npm run generate". Different: ${stale.join(', ')}`);
  process.exitCode = 1;
}
