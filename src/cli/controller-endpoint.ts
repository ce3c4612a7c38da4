import type { FleetCaches } from '../fleet/fleet-caches.js';
import { type MetricDefinitions, Metrics } from '../metrics/metrics.js';
import { type HttpEndpoint, serveHttpEndpoint } from '../kubelet/http-endpoint.js';

/** The metrics of the controller; docs/metrics.md is made from this table. */
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
} as const satisfies MetricDefinitions;

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
  const metrics = new Metrics(CONTROLLER_METRICS);
  metrics.set('vsmmu_controller_leading', {}, state.election.leading ? 1 : 0);
  metrics.set('vsmmu_controller_unsynced', {}, state.caches.missing().length);
  for (const [kind, count] of Object.entries(countsOf(state)))
    metrics.set('vsmmu_controller_objects', { kind }, count);
  return metrics.render();
}
