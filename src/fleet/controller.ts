import { pauseFor } from '../cluster/backoff.js';
import { joinSignals } from '../cluster/joined-signal.js';
import type { KubeClient } from '../cluster/kube-client.js';
import { isKubeError } from '../cluster/kube-error.js';
import type { NodeProfile } from '../cluster/node-profile.js';
import { messageOf, VsmmuError } from '../errors.js';
import type { Log } from '../log/log.js';
import { act } from './act.js';
import { FailedActions } from './failed-actions.js';
import type { FleetCaches } from './fleet-caches.js';
import { type Action, planFleet, type Snapshot } from './plan.js';

export interface ControllerOptions {
  readonly client: KubeClient;
  readonly caches: FleetCaches;
  readonly identity: string;
  readonly log: Log;
  /** Changes within this time are answered together. */
  readonly settleMs?: number;
  /** From one round that wrote to the next: VMs that come and go must not have a status written for each. */
  readonly roundMs?: number;
  /** Looked at again without a change: profiles grow stale by time alone. */
  readonly resyncMs?: number;
  /** Requests under way at once. */
  readonly parallel?: number;
  /** Requests a second, over time: 1,000 nodes may change at once, and the API server has other clients. */
  readonly requestsPerSecond?: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/**
 * Keeps labels, baselines and profiles as they should be, for as long as it leads: looks at the whole cluster in memory
 * after each change and does what is missing. What fails waits longer each time, and holds nothing else up.
 */
export class FleetController {
  readonly #options: Required<ControllerOptions>;
  readonly #failures: FailedActions;
  #seen = new Map<string, NodeProfile>();

  constructor(options: ControllerOptions) {
    this.#options = {
      settleMs: 250,
      roundMs: 1000,
      resyncMs: 60_000,
      parallel: 8,
      requestsPerSecond: 50,
      now: Date.now,
      ...options,
    };
    this.#failures = new FailedActions({ now: this.#options.now });
  }

  /** Until the signal is aborted. */
  async lead(signal: AbortSignal): Promise<void> {
    const { caches, settleMs, roundMs, resyncMs } = this.#options;
    const changes = new Changes();
    const stop = caches.onChange(() => changes.mark());
    try {
      while (!signal.aborted) {
        await pauseFor(settleMs, signal);
        changes.clear();
        const acted = await this.#once(signal);
        if (acted) await pauseFor(roundMs, signal);
        await changes.wait(this.#failures.nextIn(resyncMs), signal);
      }
    } finally {
      stop();
      this.#seen = new Map();
    }
  }

  /** @returns whether there was anything to do */
  async #once(signal: AbortSignal): Promise<boolean> {
    const { caches, log } = this.#options;
    const missing = caches.missing();
    if (missing.length > 0) {
      log.debug('waiting for the API server', { missing: missing.join(', ') });
      return false;
    }
    const snapshot = this.#snapshot();
    const planned = planFleet(snapshot).filter((action) => this.#failures.isDue(action));
    const actions = [...planned, ...this.#failures.dueEvents()];
    this.#seen = new Map(snapshot.profiles.map((profile) => [profile.node, profile]));
    if (actions.length > 0) log.info('reconciling', { actions: actions.length });
    await this.#actAll(actions, signal);
    return actions.length > 0;
  }

  #snapshot(): Snapshot {
    const { caches, now } = this.#options;
    return {
      nodes: new Map(caches.nodes.entries()),
      profiles: [...caches.profiles.values()],
      baselines: [...caches.baselines.values()],
      policies: [...caches.policies.values()],
      vmis: [...caches.vmis.values()],
      namespaces: new Map(caches.namespaces.entries()),
      seen: this.#seen,
      now: now(),
    };
  }

  async #actAll(actions: readonly Action[], signal: AbortSignal): Promise<void> {
    const { parallel, requestsPerSecond } = this.#options;
    const queue = actions.values();
    const worker = async () => {
      for (const action of queue) {
        if (signal.aborted) return;
        const ended = pauseFor((parallel * 1000) / requestsPerSecond, signal);
        await this.#actOne(action, signal);
        // A short plan needs no pacing.
        if (actions.length > parallel) await ended;
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, actions.length) }, worker));
  }

  async #actOne(action: Action, signal: AbortSignal): Promise<void> {
    const { client, identity, log } = this.#options;
    try {
      await act(client, action, { identity, signal });
      this.#failures.forget(action);
    } catch (error) {
      // Changed or gone meanwhile: the watch tells, and the next plan knows.
      if (signal.aborted || isKubeError(error, 'KUBE_CONFLICT', 'KUBE_NOT_FOUND')) return;
      const afterMs = this.#failures.remember(action);
      const code = error instanceof VsmmuError ? error.code : 'INTERNAL';
      log.warn('not done', { action: action.kind, code, error: messageOf(error), retryMs: afterMs });
    }
  }
}

/** Remembers that something changed, and wakes who waits for it. */
class Changes {
  #changed = false;
  #wake: () => void = () => undefined;

  mark(): void {
    this.#changed = true;
    this.#wake();
  }

  clear(): void {
    this.#changed = false;
  }

  /** Resolves at a change since `clear`, after `ms`, or when the signal is aborted. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#changed) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const both = joinSignals(signal, woken.signal);
    await pauseFor(ms, both.signal);
    both.release();
    this.#wake = () => undefined;
  }
}
