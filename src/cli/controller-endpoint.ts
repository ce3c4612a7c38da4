import type { FleetCaches } from '../fleet/fleet-caches.js';
import { type HttpEndpoint, serveHttpEndpoint } from '../kubelet/http-endpoint.js';

/** The metrics of the controller; docs/reference/metrics.md repeats this table. */
export const CONTROLLER_METRICS = {
  vsmmu_controller_leading: {
    type: 'gauge',
    labels: [],
    help: '1 on the replica that works, 0 on those that wait.',
  },
  vsmmu_controller_unsynced: {
    type: 'gauge',
    labels: [],
    help: 'Kinds of objects that have not been listed yet; above 0 nothing is written.',
  },
  vsmmu_controller_objects: { type: 'gauge', labels: ['kind'], help: 'Objects in memory, by kind.' },
} as const satisfies Record<string, { type: 'gauge'; labels: readonly string[]; help: string }>;

type ControllerMetric = keyof typeof CONTROLLER_METRICS;

/** What the endpoint tells of: no name of a node or a VM is among it. */
export interface ControllerState {
  readonly caches: Pick<FleetCaches, 'missing'> &
    Readonly<Record<(typeof KINDS)[number], { values(): Iterable<unknown> }>>;
  readonly election: { readonly leading: boolean };
}

const KINDS = ['nodes', 'profiles', 'policies', 'baselines', 'vmis'] as const;

/**
 * Serves /metrics, /healthz, /readyz and /status of a controller.
 *
 * @throws VsmmuError USAGE, LISTEN_FAILED
 */
export async function serveControllerEndpoint(listen: string, state: ControllerState): Promise<HttpEndpoint> {
  return serveHttpEndpoint({
    listen,
    metrics: () => renderMetrics(state),
    // It answers, so its event loop turns; the lease sees to everything else.
    healthy: () => Promise.resolve(undefined),
    ready: () => Promise.resolve(unready(state)),
    status: () => ({
      leading: state.election.leading,
      missing: state.caches.missing(),
      objects: countsOf(state),
    }),
  });
}

function unready({ caches }: ControllerState): string | undefined {
  const missing = caches.missing();
  return missing.length === 0 ? undefined : `not listed yet: ${missing.join(', ')}`;
}

function countsOf({ caches }: ControllerState): Readonly<Record<string, number>> {
  return Object.fromEntries(KINDS.map((kind) => [kind, [...caches[kind].values()].length]));
}

function renderMetrics(state: ControllerState): string {
  const samples: Record<ControllerMetric, readonly string[]> = {
    vsmmu_controller_leading: [state.election.leading ? ' 1' : ' 0'],
    vsmmu_controller_unsynced: [` ${state.caches.missing().length}`],
    vsmmu_controller_objects: Object.entries(countsOf(state)).map(
      ([kind, value]) => `{kind="${kind}"} ${value}`,
    ),
  };
  return Object.entries(CONTROLLER_METRICS)
    .flatMap(([name, { type, help }]) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples[name as ControllerMetric].map((sample) => `${name}${sample}`),
    ])
    .map((line) => `${line}\n`)
    .join('');
}
