import { build } from 'esbuild';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** vsmmu's own client, cache and publisher, bundled as the daemons have them. */
export async function loadProduct(ctx) {
  const outfile = join(await ctx.cache('cluster-modules'), `product-${process.pid}.mjs`);
  const names = {
    './src/cluster/access.ts': 'staticAccess',
    './src/cluster/kube-client.ts': 'KubeClient',
    './src/cluster/watch-cache.ts': 'WatchCache',
    './src/cluster/node-profile.ts': 'NODE_PROFILES, parseNodeProfile',
    './src/cluster/publish-profile.ts': 'ProfilePublisher',
    './src/host/open-host.ts': 'openHost',
    './src/host/probe.ts': 'probeHost',
  };
  await build({
    stdin: {
      contents: Object.entries(names)
        .map(([file, exported]) => `export { ${exported} } from '${file}';`)
        .join('\n'),
      resolveDir: ctx.root,
    },
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['koffi'],
    logLevel: 'error',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  return import(pathToFileURL(outfile).href);
}
