import { join } from 'node:path';
import { build } from 'esbuild';

/** One of the product's or the tests' modules as a file that Node runs. @returns {Promise<string>} its path */
export async function bundle(entry, dir, name) {
  const outfile = join(dir, name);
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['koffi'],
  });
  return outfile;
}
