import * as z from 'zod';

import { messageOf } from '../errors.js';
import { LEASES } from './core-resources.js';
import type { Log } from '../log/log.js';
import { pauseFor } from './backoff.js';
import { joinSignals } from './joined-signal.js';
import type { KubeClient } from './kube-client.js';
import { getOrMake } from './named-object.js';
import { isKubeError } from './kube-error.js';
import { apiVersionOf, type KubeObject, type ObjectRef } from './resource.js';

export interface LeaderElectionOptions {
  readonly client: KubeClient;
  readonly lease: ObjectRef & { readonly namespace: string };
  /** Differs between replicas and between restarts of one. */
  readonly identity: string;
  readonly log: Log;
  /** How long a leader that says nothing stays one. Whole seconds, as the API stores them. */
  readonly leaseSeconds?: number;
  /** How often the leader says that it lives, and the others look. */
  readonly retryMs?: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

const leaseSpec = z.object({
  holderIdentity: z.string().nullish(),
  leaseDurationSeconds: z.number().nullish(),
  renewTime: z.string().nullish(),
  leaseTransitions: z.number().nullish(),
});
type LeaseSpec = z.output<typeof leaseSpec>;

interface Observed {
  readonly spec: LeaseSpec;
  /** Labels and annotations are others' and stay. */
  readonly metadata: KubeObject['metadata'];
  /** When this replica first saw it as it is. Clocks of machines are never compared. */
  readonly at: number;
}

/**
 * One of several replicas works, by a Lease as all controllers of Kubernetes use it. A leader that can't renew in time
 * stops its work before another may begin: it counts from the start of its last successful renewal, the others from
 * when they saw it.
 */
export class LeaderElection {
  readonly #options: Required<LeaderElectionOptions>;
  #observed: Observed | undefined;
  #leading = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = { leaseSeconds: 15, retryMs: 2000, now: () => performance.now(), ...options };
  }

  get leading(): boolean {
    return this.#leading;
  }

  /**
   * Runs `lead` whenever this replica is the leader; its signal is aborted when it no longer is, or when `signal` is.
   * Ends only by `signal`, giving the lease up so that another needs not wait.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { log, retryMs, identity } = this.#options;
    while (!signal.aborted) {
      const acquiredAt = this.#options.now();
      if (!(await this.#tryAcquire(signal))) {
        await pauseFor(retryMs, signal);
        continue;
      }
      log.info('leading', { identity });
      this.#leading = true;
      try {
        await this.#lead(acquiredAt, signal, lead);
      } finally {
        this.#leading = false;
        log.info('no longer leading', { identity });
      }
    }
  }

  async #lead(
    acquiredAt: number,
    signal: AbortSignal,
    lead: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const term = new AbortController();
    const both = joinSignals(signal, term.signal);
    const work = lead(both.signal).finally(() => term.abort());
    await this.#keep(acquiredAt, both.signal);
    term.abort();
    try {
      // The lease is given up only after the work has ended.
      await work;
    } finally {
      both.release();
      await this.#release();
    }
  }

  /** Returns when the lease is lost or the signal is aborted. */
  async #keep(acquiredAt: number, signal: AbortSignal): Promise<void> {
    const { leaseSeconds, retryMs, now } = this.#options;
    // Two thirds of the lease, as client-go's 10 of 15 seconds: what is left is for the work to stop in.
    const deadlineMs = (leaseSeconds * 1000 * 2) / 3;
    let renewedAt = acquiredAt;
    for (;;) {
      await pauseFor(retryMs, signal);
      if (signal.aborted) return;
      const startedAt = now();
      const limit = AbortSignal.timeout(Math.max(1, Math.ceil(renewedAt + deadlineMs - startedAt)));
      const both = joinSignals(signal, limit);
      const acquired = await this.#tryAcquire(both.signal);
      both.release();
      if (acquired) renewedAt = startedAt;
      else if (this.#heldByOther() || now() - renewedAt >= deadlineMs) return;
    }
  }

  #heldByOther(): boolean {
    const holder = this.#observed?.spec.holderIdentity ?? '';
    return holder !== '' && holder !== this.#options.identity;
  }

  /** true: the lease is ours and was renewed now. Never throws. */
  async #tryAcquire(signal: AbortSignal): Promise<boolean> {
    const { client, lease, log } = this.#options;
    try {
      const current = this.#observe(await getOrMake(client, LEASES, lease, signal));
      if (this.#isTaken()) return false;
      this.#observe(await client.replace(LEASES, this.#manifest(current), { signal }));
      return true;
    } catch (error) {
      // Another was faster, or the API server is away: the next round sees.
      if (!isKubeError(error, 'KUBE_CONFLICT') && !signal.aborted)
        log.warn('lease not renewed', { error: messageOf(error) });
      return false;
    }
  }

  #isTaken(): boolean {
    const { identity, leaseSeconds, now } = this.#options;
    if (this.#observed === undefined) return false;
    const { spec, at } = this.#observed;
    const holder = spec.holderIdentity ?? '';
    if (holder === '' || holder === identity) return false;
    return now() - at < (spec.leaseDurationSeconds ?? leaseSeconds) * 1000;
  }

  #observe(object: KubeObject): Observed {
    const parsed = leaseSpec.safeParse(object['spec']);
    const spec = parsed.success ? parsed.data : {};
    const { metadata } = object;
    const before = this.#observed;
    const same = before !== undefined && before.metadata.resourceVersion === metadata.resourceVersion;
    this.#observed = { spec, metadata, at: same ? before.at : this.#options.now() };
    return this.#observed;
  }

  #manifest(current: Observed) {
    const { identity, leaseSeconds } = this.#options;
    const again = current.spec.holderIdentity === identity;
    const time = new Date().toISOString().replace('Z', '000Z');
    const transitions = current.spec.leaseTransitions ?? 0;
    return {
      apiVersion: apiVersionOf(LEASES),
      kind: LEASES.kind,
      metadata: current.metadata,
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: leaseSeconds,
        renewTime: time,
        ...(again ? {} : { acquireTime: time }),
        leaseTransitions: again ? transitions : transitions + 1,
      },
    };
  }

  /** So that another replica needs not wait for the lease to run out. Best effort. */
  async #release(): Promise<void> {
    const { client, log, identity } = this.#options;
    if (this.#observed?.spec.holderIdentity !== identity) return;
    try {
      const manifest = this.#manifest(this.#observed);
      await client.replace(LEASES, { ...manifest, spec: { ...manifest.spec, holderIdentity: '' } });
    } catch (error) {
      log.warn('lease not given up', { error: messageOf(error) });
    }
    this.#observed = undefined;
  }
}
