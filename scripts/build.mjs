// Bundles the command-line program (and the demo) into dist/. One file would be simplest, but each
// subcommand is loaded only when it is used: `vsmmu version` must not pay for gRPC. Hence code splitting.
import { build } from 'esbuild';
import { chmod, readFile, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';

const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
const entryPoints = { vsmmu: 'src/cli/main.ts', demo: 'src/cli/demo/main.ts' };
const present = Object.fromEntries(Object.entries(entryPoints).filter(([, file]) => existsSync(file)));

await rm('dist', { recursive: true, force: true });
await build({
  entryPoints: present,
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  sourcemap: true,
  legalComments: 'none',
  chunkNames: 'chunks/[name]-[hash]',
  define: { 'process.env["VSMMU_VERSION"]': JSON.stringify(version), 'process.env.VSMMU_VERSION': JSON.stringify(version) },
  // koffi loads its native part from its own package folder, so it can't be inside a bundle.
  external: ['koffi'],
  // CommonJS dependencies (grpc-js, winston) call require() for Node's own modules.
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
for (const name of Object.keys(present)) await chmod(`dist/${name}.js`, 0o755);
