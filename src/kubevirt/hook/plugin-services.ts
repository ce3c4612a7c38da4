import { DomainHookService, NodeHookService } from '../../gen/kubevirt/hooks/plugins/v1alpha1/api_pb.js';
import { service, type ServedService } from '../../grpc/server.js';
import { RpcError } from '../../grpc/status.js';
import { REQUIRE_ANNOTATION, RESOLVED_ANNOTATION } from '../annotations.js';
import { parseVmiBytes } from '../vmi.js';
import { defineDomain, featuresForVmi, type RewriteDomain } from './define-domain.js';

/**
 * KubeVirt's Plugin API (VEP 190, alpha in 1.9), the declared successor of hook sidecars: the domain hook in the VM's
 * pod. It answers as the sidecar does; what KubeVirt's pipeline then drops of the answer is in docs/hook.md.
 */
export function domainHookService(rewrite: RewriteDomain): ServedService {
  return service(DomainHookService, {
    mutateDomain: ({ domainType, domain, vmi, sidecarContext }) => {
      if (domainType !== 'libvirt')
        throw new RpcError('INVALID_ARGUMENT', 'vsmmu rewrites libvirt domains only (domain_type "libvirt")');
      // The target of a migration runs the source's domain: its vSMMUs must stay what they are.
      if (sidecarContext?.invocationContext === 'MigrationTarget') return { domain };
      return { domain: defineDomain(domain, vmi, rewrite) };
    },
  });
}

/**
 * The node hook, served on the node: before a VM starts it says what the domain hook would otherwise say later, that
 * the values of the node are not there. It has nothing to do at any other point.
 */
export function nodeHookService(): ServedService {
  return service(NodeHookService, {
    executeNodeHook: ({ hookPoint, vmi }) => {
      if (hookPoint !== 'PreVMStart') return {};
      const parsed = parseVmiBytes(vmi);
      const { annotations = {} } = parsed;
      if (annotations[RESOLVED_ANNOTATION] !== undefined || annotations[REQUIRE_ANNOTATION] !== undefined)
        featuresForVmi(parsed);
      return {};
    },
  });
}
