import { pause } from '../host/pause.js';
import { messageOf } from '../errors.js';
import type { HostReport } from '../host/report.js';
import type { Log } from '../log/log.js';
import { Complaint } from './complaint.js';
import type { GroupClaims, GroupMember } from './group-claims.js';
import { listDevicesInUse } from './pod-resources.js';

/** The kubelet is asked so often which devices pods have, ms. */
const LOOK_MS = 5_000;
/** The same while a claim waits to be seen in use, or to be over. */
const LOOK_SOON_MS = 500;

export interface ClaimsOfPodsOptions {
  readonly claims: GroupClaims;
  readonly podResourcesSocket: string;
  readonly log: Log;
}

/** Learns from the kubelet which devices pods have: the device plugin API itself never says when one is free again. */
export class ClaimsOfPods {
  readonly #options: ClaimsOfPodsOptions;
  readonly #complaint = new Complaint();

  constructor(options: ClaimsOfPodsOptions) {
    this.#options = options;
  }

  /** @param host as it is known at each look; undefined: not yet */
  async keepLearning(host: () => HostReport | undefined, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(this.#options.claims.unsettled ? LOOK_SOON_MS : LOOK_MS, signal);
      await this.learn(host());
    }
  }

  async learn(host: HostReport | undefined): Promise<void> {
    const { claims, podResourcesSocket, log } = this.#options;
    try {
      const inUse = await listDevicesInUse(podResourcesSocket);
      claims.reconcile(new Map(inUse.map(({ bdf, resource }) => [bdf, resource])), groupMembers(host));
      this.#complaint.settle();
    } catch (error) {
      // With nothing handed out nobody waits for it: a kubelet that is not there yet is no fault.
      if (claims.all.length === 0) return;
      const reason = messageOf(error);
      if (this.#complaint.isNew(reason))
        log.warn('The kubelet does not tell which devices pods have; what is handed out stays so.', {
          reason,
        });
    }
  }
}

/** All of a host's, also those that no resource has: a ResourceClaim may, or another's plugin. */
export function groupMembers(host: HostReport | undefined): GroupMember[] {
  const devices = host?.devices ?? [];
  return devices.flatMap(({ bdf, iommuGroup }) =>
    iommuGroup.known ? [{ bdf, iommuGroup: iommuGroup.value }] : [],
  );
}
