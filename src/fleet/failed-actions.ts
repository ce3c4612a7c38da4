import type { Action } from './plan.js';

export interface FailedActionsOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly baseMs?: number;
  readonly maxMs?: number;
}

interface Failure {
  readonly action: Action;
  readonly times: number;
  readonly dueAt: number;
}

/**
 * Actions that the API server did not do, and when each is worth another try: twice as long after each failure. A
 * label that some webhook refuses for ever must neither be sent again with each change of the cluster nor delay others.
 */
export class FailedActions {
  readonly #options: Required<FailedActionsOptions>;
  #failures = new Map<string, Failure>();

  constructor(options: FailedActionsOptions) {
    this.#options = { baseMs: 1000, maxMs: 300_000, ...options };
  }

  isDue(action: Action): boolean {
    const failure = this.#failures.get(keyOf(action));
    return failure === undefined || failure.dueAt <= this.#options.now();
  }

  /** @returns milliseconds until it is due */
  remember(action: Action): number {
    const { now, baseMs, maxMs } = this.#options;
    const times = (this.#failures.get(keyOf(action))?.times ?? 0) + 1;
    const afterMs = Math.min(maxMs, baseMs * 2 ** (times - 1));
    this.#failures.set(keyOf(action), { action, times, dueAt: now() + afterMs });
    return afterMs;
  }

  forget(action: Action): void {
    this.#failures.delete(keyOf(action));
  }

  /** Events are told of a change; once the change is seen no plan has them again. */
  dueEvents(): Action[] {
    const kept = [...this.#failures.values()].map(({ action }) => action);
    return kept.filter((action) => action.kind === 'event' && this.isDue(action));
  }

  /** Milliseconds until the first is due, at most `ms`. What has been due for long and was never tried is forgotten. */
  nextIn(ms: number): number {
    const now = this.#options.now();
    const { maxMs } = this.#options;
    this.#failures = new Map([...this.#failures].filter(([, { dueAt }]) => now - dueAt < maxMs));
    const waiting = [...this.#failures.values()].map(({ dueAt }) => dueAt - now).filter((wait) => wait > 0);
    return Math.min(ms, ...waiting);
  }
}

/** What is done to what; events are new ones each time. */
function keyOf(action: Action): string {
  switch (action.kind) {
    case 'label-node':
    case 'delete-profile':
      return `${action.kind} ${action.node}`;
    case 'write-baseline':
    case 'write-policy':
      return `${action.kind} ${action.object.name}`;
    case 'event':
      return `event ${action.regarding.kind} ${action.regarding.name} ${action.reason} ${action.note}`;
  }
}
