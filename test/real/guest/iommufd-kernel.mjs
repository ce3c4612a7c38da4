import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AptRoot } from '../lib/apt-root.mjs';
import { NotRun } from '../lib/outcome.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const TOOLS = [
  'gcc-aarch64-linux-gnu',
  'libc6-dev-arm64-cross',
  'make',
  'bc',
  'bison',
  'flex',
  'libssl-dev',
  'xz-utils',
];

/** Time to build on a busy machine, and to boot then. */
const BUILD_MINUTES = 15;

/**
 * A kernel with IOMMUFD, VFIO_DEVICE_CDEV and ARM_SMMU_V3_IOMMUFD, built from the newest Debian's linux-source and kept.
 * It is built where there is time enough left, or when asked for (VSMMU_BUILD_KERNEL=1; 0 forbids it).
 * @param {import('../lib/context.mjs').Context} ctx @returns {Promise<import('./debian-kernel.mjs').Kernel>}
 */
export async function iommufdKernel(ctx) {
  const folder = await ctx.cache('kernels', 'iommufd');
  const stamp = createHash('sha256')
    .update(await readFile(join(here, 'kernel.config')))
    .digest('hex');
  const stampFile = join(folder, 'config.sha256');
  const current = existsSync(stampFile) && (await readFile(stampFile, 'utf8')) === stamp;
  if (!current) {
    const wish = process.env.VSMMU_BUILD_KERNEL;
    if (wish !== '1' && (wish === '0' || ctx.minutesLeft() < BUILD_MINUTES))
      throw new NotRun(
        `no kernel with IOMMUFD in the cache; building one takes about 7 minutes of two idle cores, and there are ${Math.floor(ctx.minutesLeft())} left: VSMMU_BUILD_KERNEL=1 npm run test:real -- iommufd`,
      );
    await build(ctx, folder);
    await writeFile(stampFile, stamp);
  }
  return { image: join(folder, 'Image'), release: (await readFile(join(folder, 'release'), 'utf8')).trim() };
}

async function build(ctx, folder) {
  await ctx.apt.install(...TOOLS);
  const { stdout: architecture } = await ctx.run('dpkg', ['--print-architecture']);
  const archive = await AptRoot.open(ctx, { suite: 'sid', architecture: architecture.trim() });
  const { Depends: depends } = await archive.fields('linux-source');
  const name = /linux-source-[0-9.]+/.exec(depends ?? '')?.[0];
  if (name === undefined) throw new NotRun('Debian sid has no linux-source');
  const source = await archive.download(name);
  ctx.log(`building a kernel from ${name}`);
  await ctx.run('nice', ['-n', '10', join(here, 'build-kernel.sh'), source, folder], {
    timeoutSeconds: 3600,
  });
}
