import type { HostReport } from '../host/report.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log/log.js';
import { completeness, describeNode } from './describe-node.js';
import type { KubeClient } from './kube-client.js';
import { isKubeError } from './kube-error.js';
import { NODE_PROFILES } from './node-profile.js';
import {
  nodeProfileSpec,
  nodeProfileStatus,
  type NodeProfileSpec,
  type NodeProfileStatus,
} from './node-profile-schema.js';
import { apiVersionOf, type KubeObject, type Manifest } from './resource.js';

export interface PublishOptions {
  readonly client: KubeClient;
  /** Kubernetes name of the node this runs on. */
  readonly node: string;
  readonly log: Log;
  /** How old the last word may become before it is repeated; 10 minutes by default. */
  readonly renewMs?: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** 0..1; spreads the renewals of a fleet that was started together. */
  readonly random?: () => number;
}

type Condition = NonNullable<NodeProfileStatus['conditions']>[number];

const FIELD_MANAGER = 'vsmmu-agent';
const RENEW_MS = 600_000;

/**
 * Keeps the node's own NodeProfile: its spec is written when the host changed and never otherwise, its status is
 * renewed now and then, so that a reader knows a dead agent from a quiet host. 5,000 nodes renewing every ten minutes
 * are eight small requests a second.
 */
export class ProfilePublisher {
  readonly #options: PublishOptions;
  #written: string | undefined;
  /** As it was written last: when its status changed need not be asked again. */
  #condition: Condition | undefined;
  #renewedAt = -Infinity;
  #renewAfter = 0;
  #waiting: HostReport | undefined;
  #working: Promise<void> | undefined;

  constructor(options: PublishOptions) {
    this.#options = options;
  }

  /**
   * Publishes one scan of the host. A failure is logged and made good by the next scan: nothing on the node waits
   * for the API server.
   *
   * @returns what was written
   */
  async publish(report: HostReport, signal?: AbortSignal): Promise<'nothing' | 'status' | 'both' | 'failed'> {
    const { node, log } = this.#options;
    const spec = describeNode(report, node);
    try {
      const changed = await this.#writeSpec(spec, signal);
      if (!changed && !this.#renewalDue()) return 'nothing';
      await this.#writeStatus(report, spec, signal);
      if (changed)
        log.info('node profile written', { node, devices: spec.devices.length, smmus: spec.smmus.length });
      return changed ? 'both' : 'status';
    } catch (error) {
      if (signal?.aborted === true) return 'nothing';
      // Somebody may have deleted or changed it meanwhile: look again the next time.
      this.#written = undefined;
      this.#condition = undefined;
      log.warn('node profile not written', { node, error: messageOf(error), ...codeOf(error) });
      return 'failed';
    }
  }

  /** Publishes it in its own time; of several scans that come meanwhile, the last counts. */
  offer(report: HostReport, signal?: AbortSignal): void {
    this.#waiting = report;
    this.#working ??= this.#work(signal).finally(() => {
      this.#working = undefined;
    });
  }

  async #work(signal: AbortSignal | undefined): Promise<void> {
    for (let report = this.#taken(); report !== undefined; report = this.#taken())
      await this.publish(report, signal);
  }

  #taken(): HostReport | undefined {
    const report = this.#waiting;
    this.#waiting = undefined;
    return report;
  }

  #renewalDue(): boolean {
    return this.#now() - this.#renewedAt >= this.#renewAfter;
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  async #writeSpec(spec: NodeProfileSpec, signal: AbortSignal | undefined): Promise<boolean> {
    const text = canonical(spec);
    this.#written ??= await this.#stored(signal);
    if (text === this.#written) return false;
    await this.#options.client.apply(NODE_PROFILES, this.#manifest({ spec }), this.#applyOptions(signal));
    this.#written = text;
    return true;
  }

  /** What is stored already, in the form it is compared in; "" where nothing is. */
  async #stored(signal: AbortSignal | undefined): Promise<string> {
    const object = await this.#current(signal);
    const parsed = nodeProfileSpec.safeParse(object?.['spec']);
    return parsed.success ? canonical(parsed.data) : '';
  }

  async #current(signal: AbortSignal | undefined): Promise<KubeObject | undefined> {
    try {
      return await this.#options.client.get(NODE_PROFILES, { name: this.#options.node }, signal);
    } catch (error) {
      if (isKubeError(error, 'KUBE_NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async #storedCondition(type: string, signal: AbortSignal | undefined): Promise<Condition | undefined> {
    const status = nodeProfileStatus.safeParse((await this.#current(signal))?.['status'] ?? {});
    return status.success ? status.data.conditions?.find((one) => one.type === type) : undefined;
  }

  async #writeStatus(
    report: HostReport,
    spec: NodeProfileSpec,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const now = this.#now();
    const renewedAt = new Date(now).toISOString();
    const condition = completeness(report, spec);
    this.#condition ??= await this.#storedCondition(condition.type, signal);
    const old = this.#condition;
    const lastTransitionTime =
      old?.status === condition.status ? old.lastTransitionTime : `${renewedAt.slice(0, 19)}Z`;
    const written = { ...condition, lastTransitionTime };
    const status = { renewedAt, conditions: [written] };
    await this.#options.client.apply(NODE_PROFILES, this.#manifest({ status }), {
      ...this.#applyOptions(signal),
      subresource: 'status',
    });
    const { renewMs = RENEW_MS, random = Math.random } = this.#options;
    this.#condition = written;
    this.#renewedAt = now;
    this.#renewAfter = renewMs * (0.8 + 0.2 * random());
  }

  #manifest(part: { readonly spec: NodeProfileSpec } | { readonly status: object }): Manifest {
    return {
      apiVersion: apiVersionOf(NODE_PROFILES),
      kind: NODE_PROFILES.kind,
      metadata: { name: this.#options.node },
      ...part,
    };
  }

  #applyOptions(signal: AbortSignal | undefined) {
    return { fieldManager: FIELD_MANAGER, force: true, signal };
  }
}

/** The API server sorts fields its own way; the schema's order makes equal specs equal texts. */
function canonical(spec: NodeProfileSpec): string {
  return JSON.stringify(nodeProfileSpec.parse(spec));
}

function codeOf(error: unknown): { readonly code?: string } {
  return isKubeError(error) ? { code: error.code } : {};
}
