#!/usr/bin/env node
// node scripts/image/rootfs.mjs OUT [--node FILE]: lays out the image's root file system, for this machine's architecture:
// node with the libraries it needs, the bundle, koffi's native part, users, licences, bill of materials. No shell, no npm.
import { spawnSync } from 'node:child_process';
import { chmod, cp, mkdir, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle } from '../build.mjs';
import { packagesOf } from './contents.mjs';
import { licencesOf } from './licences.mjs';
import { sbomOf } from './sbom.mjs';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { node: { type: 'string', default: process.execPath } },
});
const [out] = positionals;
if (out === undefined || positionals.length > 1) {
  console.error('usage: node scripts/image/rootfs.mjs OUT [--node FILE]');
  process.exit(2);
}
const APP = join(out, 'app');

await rm(out, { recursive: true, force: true });
await mkdir(APP, { recursive: true });
const metafile = await bundle(
  APP,
  { vsmmu: 'src/cli/main.ts' },
  {
    sourcemap: false,
    alias: { '@kubernetes/client-node': join(root, 'scripts', 'image', 'no-kubeconfig.mjs') },
  },
);
const packages = await packagesOf(metafile, process.arch);
await layNode(values.node);
await layKoffi();
await layPapers();
await laySystem();
await report();

/** Node and, at the places where it looks for them, the libraries it is linked with. */
async function layNode(node) {
  await mkdir(join(out, 'usr', 'bin'), { recursive: true });
  await cp(await realpath(node), join(out, 'usr', 'bin', 'node'));
  await chmod(join(out, 'usr', 'bin', 'node'), 0o755);
  const { stdout, status, stderr } = spawnSync('ldd', [node], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ldd ${node}: ${stderr}`);
  for (const [, path] of stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)) {
    await mkdir(join(out, dirname(path)), { recursive: true });
    await cp(await realpath(path), join(out, path));
  }
}

/** koffi is not in the bundle: it finds its native part through its own package. Its sources stay behind. */
async function layKoffi() {
  const left = /\/(doc|vendor|lib|musl_\w+)$/;
  const kept = /(\.c?js|\.node|\/package\.json)$/;
  for (const { path } of packages.filter(({ name }) => name.includes('koffi'))) {
    const filter = async (source) => {
      if ((await stat(source)).isDirectory()) return !left.test(source);
      return kept.test(source) && !source.endsWith('/cnoke.cjs');
    };
    await cp(join(root, path), join(APP, path), { recursive: true, filter });
  }
}

async function layPapers() {
  const project = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  await writeFile(
    join(APP, 'package.json'),
    `${JSON.stringify({ name: 'vsmmu', version: project.version, type: 'module' })}\n`,
  );
  await cp(join(root, 'LICENSE'), join(APP, 'LICENSE'));
  await writeFile(join(APP, 'THIRD-PARTY-LICENCES'), await licencesOf(root, packages));
  await writeFile(join(APP, 'sbom.cdx.json'), `${JSON.stringify(sbomOf(project, packages), null, 2)}\n`);
}

/** 65532 is the user of all parts that need no device; KubeVirt runs hooks as 107, which has no name here. */
async function laySystem() {
  await mkdir(join(out, 'etc'), { recursive: true });
  await writeFile(join(out, 'etc', 'passwd'), 'root:x:0:0:root:/:/none\nvsmmu:x:65532:65532:vsmmu:/:/none\n');
  await writeFile(join(out, 'etc', 'group'), 'root:x:0:\nvsmmu:x:65532:\n');
  await writeFile(join(out, 'etc', 'nsswitch.conf'), 'hosts: files dns\n');
  for (const folder of ['dev', 'proc', 'sys', 'run', 'tmp', 'var/run'])
    await mkdir(join(out, folder), { recursive: true });
  await chmod(join(out, 'tmp'), 0o1777);
}

async function report() {
  const parts = { node: 'usr/bin', libraries: 'lib', 'more libraries': 'lib64', program: 'app' };
  let total = 0;
  for (const [what, folder] of Object.entries(parts)) {
    const bytes = await sizeOf(join(out, folder));
    total += bytes;
    if (bytes > 0) console.log(`${what.padEnd(15)} ${megabytes(bytes)}`);
  }
  console.log(`${'together'.padEnd(15)} ${megabytes(total)}, ${packages.length} npm packages`);
}

async function sizeOf(path) {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return 0;
  if (!found.isDirectory()) return found.size;
  const sizes = await Promise.all((await readdir(path)).map((name) => sizeOf(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1).padStart(6)} MB`;
}
