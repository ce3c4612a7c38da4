import { build } from 'esbuild';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** What suites use of vsmmu's own code, by file. */
const EXPORTS = {
  './src/admission/registration.ts': 'webhookRegistrations',
  './src/cluster/access.ts': 'staticAccess',
  './src/cluster/agent-policy.ts': 'agentPolicy',
  './src/cluster/kube-client.ts': 'KubeClient',
  './src/cluster/node-profile.ts': 'NODE_PROFILES, parseNodeProfile',
  './src/cluster/node-profile-crd.ts': 'nodeProfileCrd',
  './src/cluster/publish-profile.ts': 'ProfilePublisher',
  './src/cluster/watch-cache.ts': 'WatchCache',
  './src/gen/kubevirt/hooks/v1alpha3/api_pb.ts': 'Callbacks',
  './src/grpc/client.ts': 'unixClient',
  './src/host/open-host.ts': 'openHost',
  './src/host/probe.ts': 'probeHost',
  './src/kubelet/device-list.ts': 'LISTED_MAX',
  './src/kubelet/directory-watch.ts': 'DirectoryWatch',
  './src/kubelet/group-claims.ts': 'GroupClaims',
  './src/kubelet/metrics.ts': 'Metrics',
  './src/kubelet/registration.ts': 'kubeletDirectories',
  './src/kubelet/resource-plugins.ts': 'ResourcePlugins',
  './src/kubelet/start-agent.ts': 'startAgent',
  './test/kubelet-peer.ts': 'KubeletPeer',
};

/** vsmmu's own client, cache, registrations, policies, publisher and agent, bundled as the programs have them. */
export async function loadProduct(ctx) {
  const outfile = join(await ctx.cache('product-modules'), `product-${process.pid}.mjs`);
  await build({
    stdin: {
      contents: Object.entries(EXPORTS)
        .map(([file, names]) => `export { ${names} } from '${file}';`)
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
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
  });
  return import(pathToFileURL(outfile).href);
}
