// Which npm packages the image holds: those the bundler took code from, and koffi with its native part.
import { readFile } from 'node:fs/promises';

const NATIVE = { x64: '@koromix/koffi-linux-x64', arm64: '@koromix/koffi-linux-arm64' };

/**
 * @typedef {{ path: string, name: string, version: string, licence: string, integrity: string }} Package
 *   path: its key in package-lock.json, "node_modules/zod"
 */

/**
 * @param {import('esbuild').Metafile} metafile @param {'x64' | 'arm64'} arch
 * @returns {Promise<Package[]>} by path @throws where something was bundled that the lockfile doesn't know
 */
export async function packagesOf(metafile, arch) {
  const { packages } = JSON.parse(
    await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8'),
  );
  const paths = new Set(['node_modules/koffi', `node_modules/${NATIVE[arch]}`]);
  for (const input of Object.keys(metafile.inputs)) {
    const [, path] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input) ?? [];
    if (path !== undefined) paths.add(path);
  }
  return [...paths].sort().map((path) => {
    const found = packages[path];
    if (found?.version === undefined)
      throw new Error(`${path} is in the bundle and not in package-lock.json`);
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    return { path, name, version: found.version, licence: found.license, integrity: found.integrity };
  });
}
