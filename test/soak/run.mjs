// npm run soak -- [--minutes 30] [--json FILE]: builds vsmmu and the soak, and runs it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const given = process.argv.slice(2);
if (!given.includes('--vsmmu')) {
  const { status } = spawnSync(process.execPath, ['scripts/build.mjs'], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
const dir = mkdtempSync(join(tmpdir(), 'vsmmu-soak-run-'));
try {
  const outfile = join(dir, 'soak.mjs');
  await build({
    entryPoints: [join(root, 'test/soak/soak.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi'],
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
  });
  const { status } = spawnSync(
    process.execPath,
    [
      outfile,
      '--vsmmu',
      join(root, 'dist/vsmmu.js'),
      '--inside',
      join(root, 'test/soak/inside.cjs'),
      ...given,
    ],
    { cwd: root, stdio: 'inherit' },
  );
  process.exitCode = status ?? 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}
