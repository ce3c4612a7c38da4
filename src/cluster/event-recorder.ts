import { randomBytes } from 'node:crypto';
import { messageOf } from '../errors.js';
import type { Log } from '../log/log.js';
import { Backoff, pauseFor } from './backoff.js';
import { EVENTS } from './core-resources.js';
import type { KubeClient } from './kube-client.js';
import { isKubeError } from './kube-error.js';
import { apiVersionOf, type Manifest } from './resource.js';

/** Something a person should see beside the object; events.k8s.io/v1 names the fields. */
export interface ToldEvent {
  readonly type: 'Normal' | 'Warning';
  /** UpperCamelCase, of a small set. */
  readonly reason: string;
  /** What was done or seen, UpperCamelCase too. */
  readonly action: string;
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** Events about objects without a namespace live in "default". */
  readonly regarding: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
  };
  /** "vsmmu.io/agent" */
  readonly controller: string;
  readonly instance: string;
  readonly log: Log;
  readonly onWritten?: (outcome: 'ok' | 'failed' | 'dropped') => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** How long one written event takes from the allowance, ms. */
  readonly refillMs?: number;
}

const NOTE_MAX = 1024;
/** Different events that wait; the oldest makes room. */
const WAITING_MAX = 64;
/** Written at once; then one each REFILL_MS, like client-go's filter against spam, somewhat freer. */
const BURST = 25;
const REFILL_MS = 20_000;

interface Waiting {
  readonly event: ToldEvent;
  times: number;
}

/**
 * Writes Events, in order and in its own time; nothing waits for them. What is told again while it waits becomes one
 * event with a count; what comes faster than the API server should be bothered with waits or is dropped, never queued
 * without end. Events are only ever created: the right to change them would reach those of others.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #now: () => number;
  readonly #waiting = new Map<string, Waiting>();
  #wake: () => void = () => undefined;
  #forbidden = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  tell(event: ToldEvent): void {
    const key = `${event.reason} ${event.note}`;
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) waiting.times++;
    else this.#waiting.set(key, { event, times: 1 });
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > WAITING_MAX && oldest !== undefined) {
      this.#waiting.delete(oldest);
      this.#options.onWritten?.('dropped');
    }
    this.#wake();
  }

  /** Writes what is told until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { refillMs = REFILL_MS } = this.#options;
    const backoff = new Backoff({ baseMs: 500, maxMs: 60_000 });
    let allowance = BURST;
    let refilledAt = this.#now();
    while (!signal.aborted) {
      const [next] = this.#waiting;
      if (next === undefined) {
        await this.#untilTold(signal);
        continue;
      }
      const refilled = Math.floor((this.#now() - refilledAt) / refillMs);
      allowance = Math.min(BURST, allowance + refilled);
      refilledAt += refilled * refillMs;
      if (allowance === 0) {
        await pauseFor(refillMs, signal);
        continue;
      }
      allowance--;
      const done = await this.#write(...next, signal);
      if (done) backoff.reset();
      else await backoff.pause(signal);
    }
  }

  /** @returns whether it is settled; else it is tried again. */
  async #write(key: string, waiting: Waiting, signal: AbortSignal): Promise<boolean> {
    const { log, onWritten } = this.#options;
    const { times } = waiting;
    try {
      await this.#options.client.create(EVENTS, this.#manifest(waiting.event, times), { signal });
      onWritten?.('ok');
    } catch (error) {
      if (signal.aborted) return true;
      onWritten?.('failed');
      const again = isKubeError(error, 'KUBE_UNREACHABLE', 'KUBE_UNAVAILABLE', 'KUBE_THROTTLED');
      if (!again && !this.#forbidden) log.warn('Events cannot be written.', { reason: messageOf(error) });
      this.#forbidden ||= !again;
      if (again) return false;
    }
    // What was told while it was written is still to be counted.
    waiting.times -= times;
    if (waiting.times <= 0) this.#waiting.delete(key);
    return true;
  }

  #manifest({ type, reason, action, note }: ToldEvent, times: number): Manifest {
    const { regarding, controller, instance } = this.#options;
    const at = microTime(this.#now());
    return {
      apiVersion: apiVersionOf(EVENTS),
      kind: EVENTS.kind,
      metadata: { name: `${regarding.name}.${randomBytes(8).toString('hex')}`, namespace: 'default' },
      eventTime: at,
      reportingController: controller,
      reportingInstance: instance,
      action,
      reason,
      type,
      regarding,
      note: note.length <= NOTE_MAX ? note : `${note.slice(0, NOTE_MAX - 1)}…`,
      ...(times > 1 && { series: { count: times, lastObservedTime: at } }),
    };
  }

  #untilTold(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener('abort', wake, { once: true });
      if (signal.aborted) wake();
    });
  }
}

/** metav1.MicroTime. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
