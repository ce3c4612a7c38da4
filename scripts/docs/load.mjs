// Modules of src/ as they are, for the pages that are made from them.
import { build } from 'esbuild';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @param {string} entry a file, such as "src/error-codes.ts" @returns {Promise<any>} what it exports */
export function load(entry) {
  return loadText(`export * from './${entry}';`);
}

/** @param {string} contents of a module in the repository's root @param {Partial<import('esbuild').BuildOptions>} options */
export async function loadText(contents, options = {}) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: process.cwd() },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    // CommonJS dependencies call require() for Node's own modules.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    ...options,
  });
  const dir = await mkdtemp(join(tmpdir(), 'vsmmu-docs-'));
  try {
    const file = join(dir, 'module.mjs');
    await writeFile(file, outputFiles[0].contents);
    return await import(pathToFileURL(file).href);
  } finally {
    await rm(dir, { recursive: true });
  }
}
