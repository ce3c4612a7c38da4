// npm run soak -- [--minutes 30] [--json FILE]: builds vsmmu and the soak, and runs it.
import { spawnSync } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runModule } from '../../bench/bundle.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
process.chdir(root);
const given = process.argv.slice(2);
if (!given.includes('--vsmmu')) {
  const { status } = spawnSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
const paths = ['--vsmmu', join(root, 'dist/vsmmu.js'), '--inside', join(root, 'test/soak/inside.cjs')];
process.exitCode = await runModule(join(root, 'test/soak/soak.ts'), [...paths, ...given]);
