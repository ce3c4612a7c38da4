import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { AptRoot } from '../lib/apt-root.mjs';
import { assertionsFor, unchecked } from './structs.mjs';

const COMPILERS = [
  { name: 'x64', asm: 'x86', command: 'gcc', package: 'gcc', libc: 'libc6-dev' },
  {
    name: 'arm64',
    asm: 'arm64',
    command: 'aarch64-linux-gnu-gcc',
    package: 'gcc-aarch64-linux-gnu',
    libc: 'libc6-dev-arm64-cross',
  },
];
const agrees = ({ name }) =>
  `${name}: sizes, offsets, ioctl numbers and bits are those of the newest Debian's kernel headers`;
const COMPLETE = 'every struct and constant of the source is among them';
const DISAGREES = 'a wrong number does not compile';

export const suite = {
  name: 'abi',
  needs: "C compilers for x64 and arm64, and the newest Debian's kernel headers",
  timeoutMinutes: 5,
  checks: [COMPLETE, ...COMPILERS.map(agrees), DISAGREES],
  async run(ctx) {
    const ours = await sourceModules(ctx);
    await ctx.check(COMPLETE, () => assert.deepEqual(unchecked(ours), []));
    const headers = await newestHeaders(ctx);
    for (const compiler of COMPILERS) {
      await ctx.check(agrees(compiler), async () => {
        await ctx.apt.install(compiler.package, compiler.libc);
        await compile(ctx, compiler, headers, assertionsFor(ours));
      });
    }
    await ctx.check(DISAGREES, async () => {
      const wrong = assertionsFor({ ...ours, HwInfo: { ...ours.HwInfo, size: ours.HwInfo.size + 8 } });
      await assert.rejects(
        compile(ctx, COMPILERS[0], headers, wrong),
        /static assertion failed: "sizeof\(struct iommu_hw_info\)/,
      );
    });
  },
};

const MODULES = ['host/iommufd-uapi', 'host/netlink-uapi', 'host/pci-regs', 'smmu/compatibility'];

/** The source's own numbers, not a copy of them. */
async function sourceModules(ctx) {
  const outfile = join(await ctx.cache('abi'), `uapi-${process.pid}.mjs`);
  await build({
    stdin: {
      contents: MODULES.map((module) => `export * from './${module}.js';`).join('\n'),
      resolveDir: join(ctx.root, 'src'),
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    outfile,
  });
  try {
    return await import(pathToFileURL(outfile).href);
  } finally {
    await rm(outfile);
  }
}

/** @returns {Promise<string>} linux-libc-dev's /usr, which holds the headers of every architecture */
async function newestHeaders(ctx) {
  const { stdout } = await ctx.run('dpkg', ['--print-architecture']);
  const debian = await AptRoot.open(ctx, { suite: 'sid', architecture: stdout.trim() });
  const folder = join(await ctx.cache('abi'), 'linux-libc-dev');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  await ctx.run('dpkg-deb', ['-x', await debian.download('linux-libc-dev'), folder]);
  const { Version: version } = await debian.fields('linux-libc-dev');
  ctx.log(`linux-libc-dev ${version}`);
  return join(folder, 'usr');
}

/** The newer headers stand before the machine's own, with those of the compiler's architecture for <asm>. */
function compile(ctx, { command, asm }, headers, program) {
  const include = [join(headers, 'include'), join(headers, 'lib', 'linux', 'uapi', asm)];
  const flags = ['-std=c11', '-fsyntax-only', ...include.flatMap((folder) => ['-isystem', folder])];
  return ctx.run(command, [...flags, '-x', 'c', '-'], { input: program, label: command });
}
