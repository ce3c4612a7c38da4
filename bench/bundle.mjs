import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

/** One of the product's or the tests' modules as a file that Node runs. @returns {Promise<string>} its path */
export function bundle(entry, dir, name) {
  return buildFile({ entryPoints: [entry] }, join(dir, name));
}

/** The same for a module that stands nowhere, its imports as of the repository's root. */
export function bundleSource(contents, dir, name) {
  return buildFile({ stdin: { contents, resolveDir: process.cwd(), loader: 'ts' } }, join(dir, name));
}

/** Runs a module to its end, in sight of whoever called. @returns {Promise<number>} its exit status */
export async function runModule(entry, args, { nodeOptions = [] } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-module-'));
  try {
    const file = await bundle(entry, dir, 'module.mjs');
    const { status } = spawnSync(process.execPath, [...nodeOptions, file, ...args], { stdio: 'inherit' });
    return status ?? 1;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function buildFile(what, outfile) {
  await build({
    ...what,
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    // koffi loads its native part from its own package folder; it is found from the repository's root.
    external: ['koffi'],
    banner: {
      js: `import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(${JSON.stringify(`${process.cwd()}/`)});`,
    },
  });
  return outfile;
}
