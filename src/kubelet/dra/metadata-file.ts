import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CdiMount } from '../cdi.js';
import { writePublicFile } from '../public-file.js';
import type { AllocatedClaim } from './claim.js';
import { DRA_DRIVER } from '../../cluster/dra-resources.js';
import { type Attributes } from './device.js';

/** Where a container finds them: KEP-5304, k8s.io/dynamic-resource-allocation v0.36 api/metadata. virt-launcher reads them. */
const CONTAINER_DIR = '/var/run/kubernetes.io/dra-device-attributes';

export interface DescribedDevice {
  readonly pool: string;
  readonly name: string;
  readonly attributes: Attributes;
}

/**
 * Writes what a container may know of one request's devices, and says where it is to be mounted.
 *
 * @param request with its subrequest, if it has one; the file is named after the request alone
 */
export function writeMetadataFile(
  dir: string,
  claim: AllocatedClaim,
  request: string,
  devices: readonly DescribedDevice[],
): CdiMount {
  const [base = request] = request.split('/', 1);
  const path = join(claimDirectory(dir, claim.uid), base, 'metadata.json');
  const document = {
    kind: 'DeviceMetadata',
    apiVersion: 'metadata.resource.k8s.io/v1alpha1',
    metadata: { name: claim.name, namespace: claim.namespace, uid: claim.uid, generation: 1 },
    ...(claim.podClaimName !== undefined && { podClaimName: claim.podClaimName }),
    requests: [{ name: request, devices: devices.map((device) => ({ driver: DRA_DRIVER, ...device })) }],
  };
  writePublicFile(path, `${JSON.stringify(document)}\n`);
  const [kind, name] =
    claim.podClaimName === undefined
      ? ['resourceclaims', claim.name]
      : ['resourceclaimtemplates', claim.podClaimName];
  return {
    hostPath: path,
    containerPath: join(CONTAINER_DIR, kind, name, base, `${DRA_DRIVER}-metadata.json`),
  };
}

export function removeMetadataFiles(dir: string, uid: string): void {
  rmSync(claimDirectory(dir, uid), { recursive: true, force: true });
}

function claimDirectory(dir: string, uid: string): string {
  return join(dir, 'metadata', uid);
}
