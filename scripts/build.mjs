// Bundles the command-line program (and the demo) into dist/. One file would be simplest, but each
// subcommand is loaded only when it is used: `vsmmu version` must not pay for XML. Hence code splitting.
import { build } from 'esbuild';
import { chmod, cp, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const PROGRAMS = { vsmmu: 'src/cli/main.ts', demo: 'src/cli/demo/main.ts' };

/**
 * Node's module loader reads every property of a builtin that is imported, and some are getters that load more: those
 * of node:http undici, its WebSocket, TLS and HTTP/2 (Node 24; 10 MiB and 30 ms for a program that serves plain HTTP),
 * those of node:crypto Web Crypto, those of node:util MIME types and parseArgs (1 MiB together on Node 24). Asked for
 * as an object, a module keeps its getters to itself.
 */
const quietBuiltins = {
  name: 'quiet-builtins',
  setup({ onResolve, onLoad }) {
    const namespace = 'quiet-builtins';
    onResolve({ filter: /^node:(https?|crypto|util)$/ }, ({ path }) => ({ path, namespace }));
    onLoad({ filter: /.*/, namespace }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
    }));
  },
};

/** createRequire() of node:module takes 4 ms, and makes what only a program with packages beside it needs. */
const REQUIRE =
  "const require = (name) => { const found = process.getBuiltinModule(name); if (found) return found; throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' }); };";

/** commander can run other programs as its commands, for which Node takes 3 ms to load; ours are all in this one. */
const lazyChildProcess = {
  name: 'lazy-child-process',
  setup({ onResolve, onLoad }) {
    const namespace = 'lazy-child-process';
    onResolve({ filter: /^node:child_process$/ }, ({ path, importer }) =>
      importer.includes('/node_modules/commander/') ? { path, namespace } : undefined,
    );
    onLoad({ filter: /.*/, namespace }, ({ path }) => ({
      contents: `exports.spawn = (...args) => process.getBuiltinModule('${path}').spawn(...args);`,
    }));
  },
};

/**
 * node-fetch, which client-node asks the API server with, takes Node's own URL where there is one, but loads another
 * all the same: 280 KB of tables, and Node's deprecated punycode (DEP0040 on Node 24).
 */
const ownUrl = {
  name: 'own-url',
  setup({ onResolve, onLoad }) {
    const namespace = 'own-url';
    onResolve({ filter: /^whatwg-url$/ }, ({ path }) => ({ path, namespace }));
    onLoad({ filter: /.*/, namespace }, () => ({ contents: 'module.exports = { URL, URLSearchParams };' }));
  },
};

/**
 * @param {string} outdir emptied first
 * @param {Record<string, string>} entryPoints
 * @param {{ sourcemap?: boolean, alias?: Record<string, string> }} options alias: packages that others stand in for
 * @returns {Promise<import('esbuild').Metafile>} what went in
 */
export async function bundle(outdir, entryPoints = PROGRAMS, { sourcemap = true, alias = {} } = {}) {
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  await rm(outdir, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // Less source to keep in memory; identifiers stay, so that stack traces can be read.
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap,
    alias,
    metafile: true,
    legalComments: 'none',
    chunkNames: 'chunks/[name]-[hash]',
    define: {
      'process.env["VSMMU_VERSION"]': JSON.stringify(version),
      'process.env.VSMMU_VERSION': JSON.stringify(version),
    },
    // koffi loads its native part from its own package folder, so it can't be inside a bundle.
    external: ['koffi'],
    plugins: [quietBuiltins, lazyChildProcess, ownUrl],
    // CommonJS dependencies (commander, winston, client-node) call require() for Node's own modules, and for packages
    // that they do without.
    banner: { js: `#!/usr/bin/env node\n${REQUIRE}` },
    logLevel: 'warning',
  });
  for (const name of Object.keys(entryPoints)) await chmod(`${outdir}/${name}.js`, 0o755);
  if (entryPoints.vsmmu !== undefined) await bundlePage(`${outdir}/page`);
  return metafile;
}

/** The fleet page of `vsmmu controller`: three files, nothing from outside. */
async function bundlePage(outdir) {
  await build({
    absWorkingDir: root,
    entryPoints: { page: 'src/page/browser/main.ts' },
    outdir,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
  });
  for (const file of ['index.html', 'page.css', 'icon.svg'])
    await cp(`${root}/src/page/browser/${file}`, `${outdir}/${file}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(`${root}/dist`);
