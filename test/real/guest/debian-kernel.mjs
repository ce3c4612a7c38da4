import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AptRoot } from '../lib/apt-root.mjs';
import { NotRun } from '../lib/outcome.mjs';

/** A kernel to boot. modules: folder with its unpacked packages; without it, all is built in. @typedef {{ image: string, release: string, modules?: string }} Kernel */

/** Modules to load in a guest with one of Debian's kernels; what they depend on comes along. */
const MODULES = [
  'virtio_pci',
  'virtio_console',
  'virtio_net',
  'nvme',
  'e1000',
  'e1000e',
  'vfio-pci',
  'vfio_iommu_type1',
];

/**
 * One of Debian's own arm64 kernels.
 * @param {import('../lib/context.mjs').Context} ctx @param {string} suite "bookworm", "sid" @returns {Promise<Kernel>}
 */
export async function debianKernel(ctx, suite) {
  const archive = await AptRoot.open(ctx, { suite, architecture: 'arm64' });
  const { Depends: depends } = await archive.fields('linux-image-arm64');
  const name = /linux-image-[0-9][^ ,]*/.exec(depends ?? '')?.[0];
  if (name === undefined) throw new NotRun(`Debian ${suite} has no linux-image-arm64`);
  const release = name.slice('linux-image-'.length);
  const folder = join(await ctx.cache('kernels'), release);
  if (!existsSync(join(folder, 'complete'))) {
    await ctx.apt.install('kmod');
    await rm(folder, { recursive: true, force: true });
    const packages = await Promise.all(
      [name, ...(await modulesPackages(archive, name))].map((each) => archive.download(each)),
    );
    for (const deb of packages) await ctx.run('dpkg-deb', ['-x', deb, folder], { timeoutSeconds: 300 });
    // Newer packages have /usr/lib/modules; depmod knows the older place only.
    if (!existsSync(join(folder, 'lib'))) await symlink(join('usr', 'lib'), join(folder, 'lib'));
    await ctx.run('depmod', ['-b', folder, release]);
    await writeFile(join(folder, 'complete'), '');
  }
  const places = [
    join(folder, 'boot', `vmlinuz-${release}`),
    join(folder, 'lib', 'modules', release, 'vmlinuz'),
  ];
  return { image: places.find((path) => existsSync(path)), release, modules: folder };
}

/** Newer kernels come in two packages, the image and its modules. */
async function modulesPackages(archive, image) {
  const { Depends: depends = '' } = await archive.fields(image);
  return depends
    .split(/[,|]/)
    .map((item) => item.trim().split(' ')[0])
    .filter((name) => /^linux-(modules|binary|base)-[0-9]/.test(name));
}

/**
 * Puts what a guest needs of its kernel's packages into the folder of its root file system.
 * @param {import('../lib/context.mjs').Context} ctx @param {Kernel} kernel
 * @returns {Promise<string[]>} modules to load, in order, as paths in the guest
 */
export async function copyKernelFiles(ctx, { modules, release }, folder) {
  if (modules === undefined) return [];
  // Debian's packages put the configuration in one of two places, where vsmmu looks for it.
  for (const config of [`boot/config-${release}`, `lib/modules/${release}/config`])
    if (existsSync(join(modules, config))) await cp(join(modules, config), join(folder, config));
  const order = loadingOrder(await readFile(join(modules, 'lib', 'modules', release, 'modules.dep'), 'utf8'));
  for (const path of order) {
    const from = join(modules, 'lib', 'modules', release, path);
    const to = join(folder, 'modules.d', path);
    await mkdir(dirname(to), { recursive: true });
    if (path.endsWith('.xz')) await ctx.run('sh', ['-c', 'xz -dc "$1" > "$2"', 'sh', from, to.slice(0, -3)]);
    else await cp(from, to);
  }
  return order.map((path) => `/modules.d/${path.replace(/\.xz$/, '')}`);
}

/** @param {string} dependencies modules.dep: "module: what it needs, directly or not, the deepest last" */
function loadingOrder(dependencies) {
  const parsed = new Map(
    dependencies
      .split('\n')
      .filter((line) => line.includes(':'))
      .map((line) => {
        const [path, needs] = line.split(':');
        return [path, needs.trim().split(' ').filter(Boolean)];
      }),
  );
  const named = (path) =>
    path
      .replace(/^.*\//, '')
      .replace(/\.ko(\..*)?$/, '')
      .replaceAll('-', '_');
  const order = [];
  for (const wanted of MODULES) {
    const path = [...parsed.keys()].find((each) => named(each) === wanted.replaceAll('-', '_'));
    if (path === undefined) continue; // built in
    for (const each of [...parsed.get(path).toReversed(), path]) if (!order.includes(each)) order.push(each);
  }
  return order;
}
