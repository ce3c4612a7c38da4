import { Info } from '../../gen/kubevirt/hooks/info/api_pb.js';
import { Callbacks as CallbacksV1alpha1 } from '../../gen/kubevirt/hooks/v1alpha1/api_pb.js';
import { Callbacks as CallbacksV1alpha2 } from '../../gen/kubevirt/hooks/v1alpha2/api_pb.js';
import { Callbacks as CallbacksV1alpha3 } from '../../gen/kubevirt/hooks/v1alpha3/api_pb.js';
import { service, type ServedService } from '../../grpc/server.js';
import { defineDomain, type RewriteDomain } from './define-domain.js';

/** Newest first; virt-launcher takes the newest it knows (KubeVirt, pkg/hooks/manager.go). */
const VERSIONS = ['v1alpha3', 'v1alpha2', 'v1alpha1'];

/**
 * KubeVirt's hook sidecar API: Info, and Callbacks in all its versions.
 *
 * @param shutDown called after Shutdown (v1alpha3): QEMU has exited, and a sidecar that stays keeps the pod alive
 */
export function hookServices(rewrite: RewriteDomain, shutDown: () => void): ServedService[] {
  const onDefineDomain = (params: { readonly domainXML: Uint8Array; readonly vmi: Uint8Array }) => ({
    domainXML: defineDomain(params.domainXML, params.vmi, rewrite),
  });
  return [
    service(Info, {
      info: () => ({
        name: 'vsmmu',
        versions: VERSIONS,
        // Priority 0: KubeVirt does not order different sidecars by it, so none is claimed.
        hookPoints: [
          { name: 'OnDefineDomain', priority: 0 },
          { name: 'Shutdown', priority: 0 },
        ],
      }),
    }),
    service(CallbacksV1alpha1, { onDefineDomain }),
    service(CallbacksV1alpha2, { onDefineDomain, preCloudInitIso }),
    service(CallbacksV1alpha3, {
      onDefineDomain,
      preCloudInitIso,
      shutdown: () => {
        shutDown();
        return {};
      },
    }),
  ];
}

/** Not announced; whoever calls it all the same gets its data back. An empty answer would mean "no cloud-init". */
function preCloudInitIso(params: {
  readonly cloudInitData: Uint8Array;
  readonly cloudInitNoCloudSource: Uint8Array;
}) {
  return {
    cloudInitData: params.cloudInitData,
    cloudInitNoCloudSource: params.cloudInitNoCloudSource,
  };
}
