import type { AgentDay, Held, Sizes } from './measure.js';

/** A fleet, and how it is run. */
export interface Fleet {
  readonly nodes: number;
  readonly devices: number;
  readonly vmis: number;
  /** VMs started a second, in a burst. */
  readonly startsPerSecond: number;
  readonly webhooks: number;
  readonly controllers: number;
  readonly dra: boolean;
}

/** Bytes of what others write, for the traffic they cause us; typical of KubeVirt 1.9 and of kubelets. */
const NODE_BYTES = 12 * 1024;
const VMI_BYTES = 20 * 1024;
/** A ResourceClaim, written at creation, allocation, reservation and with its status; webhooks with --dra follow them. */
const CLAIM_BYTES = 2 * 1024;
const CLAIM_WRITES = 4;
/** A kubelet writes its Node every 5 minutes where nothing changes (nodeStatusReportFrequency). */
const NODE_WRITE_SECONDS = 300;
/** Updates of a VMI from its creation to Running, and reviews that vsmmu gets of them: creation and hand-over, mutated and validated. */
const VMI_UPDATES = 12;
const REVIEWS = 4;
/** The API server compacts etcd's history every 5 minutes. */
const COMPACTION_SECONDS = 300;
/** Of the controller's own writes (src/fleet/controller.ts). */
const LABELS_PER_SECOND = 50;
const DAY_SECONDS = 86_400;
/** Both follow profiles, policies, baselines and namespaces; a webhook with DRA claims, their templates and classes; a controller VMIs and nodes. */
export const watchesOf = (dra: boolean) => ({ webhook: dra ? 7 : 4, controller: 6 });

export interface Load {
  /** A second, with nothing changing. */
  readonly agentRequests: number;
  readonly agentWrites: number;
  readonly etcdBytesPerSecond: number;
  readonly etcdHistoryMiB: number;
  readonly etcdObjectsMiB: number;
  readonly watches: number;
  /** What the API server sends to those who watch the fleet, a second. */
  readonly watchBytesPerSecond: number;
  readonly answerBytesPerSecond: number;
  /** CPU share of one webhook replica for following the profiles. */
  readonly webhookFollowCpu: number;
  readonly reviewsPerSecond: number;
  readonly webhookMiB: number;
  readonly controllerMiB: number;
  /** What a webhook or controller that starts has to list, MiB. */
  readonly webhookListMiB: number;
  readonly controllerListMiB: number;
  /** Seconds until every node is labelled after the first installation. */
  readonly firstLabelsSeconds: number;
}

const MIB = 1024 * 1024;

/** What a fleet does to the API server, etcd, webhook and controller; measured sizes and costs, multiplied. */
export function loadOf(fleet: Fleet, sizes: Sizes, day: AgentDay, held: Held): Load {
  const { nodes, vmis, webhooks, controllers, dra, startsPerSecond } = fleet;
  const perSecond = (aDay: number) => (nodes * aDay) / DAY_SECONDS;
  const renewals = perSecond(day.renewals);
  const followers = webhooks + controllers;
  const each = watchesOf(dra);
  const sliceBytes = dra ? sizes.slice * sizes.slices : 0;
  const etcdBytesPerSecond = perSecond(day.writes) * sizes.profile;
  return {
    agentRequests: perSecond(day.requests),
    agentWrites: perSecond(day.writes),
    etcdBytesPerSecond,
    etcdHistoryMiB: (etcdBytesPerSecond * COMPACTION_SECONDS) / MIB,
    etcdObjectsMiB: (nodes * (sizes.profile + sliceBytes)) / MIB,
    // Agents watch their own slices only.
    watches: (dra ? nodes : 0) + webhooks * each.webhook + controllers * each.controller,
    watchBytesPerSecond:
      renewals * sizes.profile * followers +
      controllers * ((nodes / NODE_WRITE_SECONDS) * NODE_BYTES + startsPerSecond * VMI_UPDATES * VMI_BYTES) +
      (dra ? webhooks * startsPerSecond * CLAIM_WRITES * CLAIM_BYTES : 0),
    answerBytesPerSecond: perSecond(day.requests) * sizes.profile,
    webhookFollowCpu: (renewals * held.profileMs) / 1000,
    reviewsPerSecond: startsPerSecond * REVIEWS,
    webhookMiB: held.webhookMiB,
    controllerMiB: held.controllerMiB,
    webhookListMiB: (nodes * sizes.profile) / MIB,
    controllerListMiB: (nodes * (sizes.profile + NODE_BYTES) + vmis * VMI_BYTES) / MIB,
    firstLabelsSeconds: nodes / LABELS_PER_SECOND,
  };
}

/** Renewals of a fleet second by second through a day; every agent waits 480 to 600 s, on the grid of its scans. */
export interface Renewals {
  readonly mean: number;
  readonly p99: number;
  readonly max: number;
}

/** @param spreadSeconds over which the agents started: 0 is a power cut that ended everywhere at once */
export function renewals(
  nodes: number,
  {
    spreadSeconds,
    scanSeconds,
    random,
  }: { readonly spreadSeconds: number; readonly scanSeconds: number; readonly random: () => number },
): Renewals {
  const perSecond = new Uint32Array(DAY_SECONDS);
  for (let node = 0; node < nodes; node += 1) {
    const start = random() * spreadSeconds;
    for (let at = start; at < DAY_SECONDS;) {
      const second = Math.floor(at);
      perSecond[second] = (perSecond[second] ?? 0) + 1;
      const wait = 600 * (0.8 + 0.2 * random());
      at += Math.ceil(wait / scanSeconds) * scanSeconds;
    }
  }
  const sorted = Uint32Array.from(perSecond).sort();
  return {
    mean: perSecond.reduce((sum, count) => sum + count, 0) / DAY_SECONDS,
    p99: sorted[Math.floor(DAY_SECONDS * 0.99)] ?? 0,
    max: sorted.at(-1) ?? 0,
  };
}
