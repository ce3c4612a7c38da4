import { messageOf } from '../../errors.js';
import type { Log } from '../../log/log.js';
import { cdiDeviceId, listCdiSpecs, readCdiSpec } from '../cdi.js';
import type { Checkpoint } from '../checkpoint.js';
import { CLAIM_KIND, deviceOfSpec, SPEC_PREFIX, uidOfSpec } from './claim-spec.js';
import { bdfOfDraDevice } from './device.js';
import {
  preparedToJson,
  type PreparedClaim,
  type PreparedClaims,
  type PreparedDevice,
} from './prepared-claims.js';

/**
 * What an earlier process prepared. Where its state is lost, the claims' CDI specifications still tell: /var/run, where
 * they are, lasts as long as the pods that have the devices. The kubelet unprepares each of them in its time.
 */
export async function restorePrepared(
  checkpoint: Checkpoint<PreparedClaims>,
  cdiDir: string,
  nodeName: string,
  log: Log,
): Promise<PreparedClaims> {
  const read = await checkpoint.read(log);
  if (read.kind === 'read') return read.value;
  if (read.kind === 'missing') return new Map();
  const found = new Map<string, PreparedClaim>();
  for (const spec of listCdiSpecs(cdiDir, SPEC_PREFIX)) {
    const claim = claimOfSpec(cdiDir, spec, nodeName);
    if (claim.devices.length > 0) found.set(claim.uid, claim);
  }
  log.warn('Prepared claims were found again by their CDI specifications.', { claims: found.size });
  try {
    await checkpoint.write(() => preparedToJson(found));
  } catch (error) {
    log.warn('They are not kept across restarts yet.', { reason: messageOf(error) });
  }
  return found;
}

/** Names of claim and requests are in no specification; the next prepare brings them. */
function claimOfSpec(cdiDir: string, spec: string, pool: string): PreparedClaim {
  const uid = uidOfSpec(spec);
  const devices = [...readCdiSpec(cdiDir, spec)].flatMap(([cdiName, nodes]): PreparedDevice[] => {
    const name = deviceOfSpec(cdiName, uid);
    const bdf = bdfOfDraDevice(name);
    const iommuGroup = groupOf(nodes);
    if (bdf === undefined || iommuGroup === undefined) return [];
    return [{ request: '', pool, name, bdf, iommuGroup, cdiIds: [cdiDeviceId(CLAIM_KIND, cdiName)] }];
  });
  return { uid, namespace: '', name: '', devices };
}

/** By its node, "/dev/vfio/11". */
function groupOf(nodes: readonly string[]): number | undefined {
  const [group] = nodes.flatMap((node) => /^\/dev\/vfio\/(\d+)$/.exec(node)?.[1] ?? []);
  return group === undefined ? undefined : Number(group);
}
