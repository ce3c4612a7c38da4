import { join } from 'node:path';
import type { EventRecorder, EventRecorderOptions } from '../cluster/event-recorder.js';
import { joinSignals } from '../cluster/joined-signal.js';
import { messageOf } from '../errors.js';
import { DevicePlugin } from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { unixClient } from '../grpc/client.js';
import type { HostReport } from '../host/report.js';
import type { Log } from '../log/log.js';
import { Agent, type AgentOptions } from './agent.js';
import type { Change } from './changes.js';
import type { IommufdPolicy } from './allocation.js';
import { Checkpoint } from './checkpoint.js';
import { DEFAULT_CONFIG, type AgentConfig } from './config/agent-config.js';
import type { ReloadHooks } from './config/config-watch.js';
import { Feed } from './feed.js';
import { claimsFromJson, claimsToJson, GroupClaims, type GroupClaim } from './group-claims.js';
import { serveHttpEndpoint } from './http-endpoint.js';
import { Metrics } from './metrics.js';
import { configurationEvent, eventsOf } from './node-events.js';

export interface StartOptions extends Omit<
  AgentOptions,
  'config' | 'claims' | 'metrics' | 'scan' | 'onScan' | 'onChanges'
> {
  /** YAML file (docs/device-plugin.md); undefined: the defaults serve. */
  readonly configFile: string | undefined;
  readonly stateDir: string;
  /**
   * Everything there is to know of the host; costs a scan of sysfs.
   * @param isHandedOut devices of such an IOMMU group are not to be bound
   */
  readonly scan: (signal: AbortSignal, isHandedOut: (group: number) => boolean) => Promise<HostReport>;
  /** "127.0.0.1:9401"; undefined: no HTTP endpoint. */
  readonly http: string | undefined;
  /** Runs beside the device plugin, over the same table of claims. */
  readonly driver?: NodeDriver | undefined;
  /** Where a person sees what happens to this node's devices; undefined: the log alone tells. */
  readonly events?: ((onWritten: OnWritten) => EventRecorder) | undefined;
  readonly onHttp?: (port: number) => void;
}

type OnWritten = NonNullable<EventRecorderOptions['onWritten']>;

/** What the DRA driver is to the agent; it brings the Kubernetes client along and is loaded only when it is wanted. */
export interface NodeDriver {
  readonly onScan: NonNullable<AgentOptions['onScan']>;
  /**
   * Restores what claims have; nothing is advertised before.
   *
   * @returns what runs until the signal aborts
   */
  start(shared: SharedWithDriver): Promise<(signal: AbortSignal) => Promise<void>>;
  /** undefined: well. */
  unready(): string | undefined;
}

export interface SharedWithDriver {
  readonly claims: GroupClaims;
  readonly metrics: Metrics;
  /** As the configuration has it now. */
  readonly iommufd: () => IommufdPolicy;
}

/** Time for one plugin to answer over its own socket. */
const ROUND_TRIP_MS = 2_000;

/**
 * Runs the agent until the signal aborts.
 *
 * @throws VsmmuError CONFIG_UNREADABLE, CONFIG_MALFORMED, LISTEN_FAILED at the start; later faults are logged and waited out
 */
export async function startAgent(options: StartOptions, signal: AbortSignal): Promise<void> {
  const { log, driver } = options;
  const metrics = new Metrics();
  const claims = new GroupClaims();
  // The agent that is to judge a new configuration comes after the first one.
  const running: { agent?: Agent } = {};
  const events = options.events?.((outcome) => metrics.add('vsmmu_events_total', { outcome }));
  const hooks: ReloadHooks = {
    check: (next) => running.agent?.refuse(next),
    onReload: (taken, reason) => {
      metrics.add('vsmmu_config_reloads_total', { outcome: taken ? 'ok' : 'refused' });
      events?.tell(configurationEvent(taken, reason));
    },
  };
  const config = await openConfig(options, hooks, signal);
  const ended = new AbortController();
  const { signal: until } = joinSignals(signal, ended.signal);
  const written = await keepClaims(claims, options.stateDir, log);
  const runDriver = await driver?.start({
    claims,
    metrics,
    iommufd: () => config.value.iommufd ?? options.iommufd,
  });
  const agent = new Agent({
    ...options,
    scan: (scanSignal) => options.scan(scanSignal, (group) => claims.of(group) !== undefined),
    config,
    claims,
    metrics,
    ...(driver !== undefined && { onScan: driver.onScan }),
    ...(events !== undefined && { onChanges: (changes) => tellAll(events, changes) }),
  });
  running.agent = agent;
  const http =
    options.http === undefined
      ? undefined
      : await serveHttpEndpoint({
          listen: options.http,
          metrics: () => render(agent, claims, metrics),
          healthy: () => roundTrip(agent),
          ready: () => Promise.resolve(unready(agent, driver)),
          status: () => status(agent, claims),
        }).catch(async (error: unknown) => {
          await agent.close();
          throw error;
        });
  if (http !== undefined) options.onHttp?.(http.port);
  try {
    await Promise.all([agent.run(until), runDriver?.(until), events?.run(until)]);
  } finally {
    ended.abort();
    await http?.close();
    await written.settled();
  }
}

async function openConfig(
  { configFile, log }: StartOptions,
  hooks: ReloadHooks,
  signal: AbortSignal,
): Promise<Feed<AgentConfig>> {
  if (configFile === undefined) return new Feed(DEFAULT_CONFIG, JSON.stringify);
  // YAML and the schema cost 10 MB; without a file nobody pays for them.
  const { followConfig } = await import('./config/config-watch.js');
  return followConfig(configFile, log, hooks, signal);
}

function tellAll(events: EventRecorder, changes: readonly Change[]): void {
  for (const event of eventsOf(changes)) events.tell(event);
}

/** Restores what was handed out, and writes it down from now on. The kubelet knows the rest (PodResources). */
async function keepClaims(
  claims: GroupClaims,
  stateDir: string,
  log: Log,
): Promise<Checkpoint<readonly GroupClaim[]>> {
  const path = join(stateDir, 'claims.json');
  const checkpoint = new Checkpoint<readonly GroupClaim[]>(path, claimsFromJson);
  const complain = (error: unknown) =>
    log.warn('What is handed out is not kept across restarts.', { reason: messageOf(error) });
  const read = await checkpoint.read(log);
  if (read.kind === 'read') claims.restore(read.value.filter(({ holder }) => holder.startsWith('resource ')));
  claims.onChange(() => {
    checkpoint.write(() => claimsToJson(claims.all)).catch(complain);
  });
  return checkpoint;
}

/** Asks every plugin over its own socket, as the kubelet would; undefined: all answered. */
async function roundTrip(agent: Agent): Promise<string | undefined> {
  const faults = await Promise.all(
    [...agent.plugins].map(async ([resource, { socket }]) => {
      if (socket === undefined) return undefined;
      const client = unixClient(DevicePlugin, socket);
      try {
        await client.call.getDevicePluginOptions({}, { timeoutMs: ROUND_TRIP_MS });
        return undefined;
      } catch (error) {
        return `${resource}: ${messageOf(error)}`;
      } finally {
        client.close();
      }
    }),
  );
  const found = faults.filter((fault) => fault !== undefined);
  return found.length === 0 ? undefined : found.join('\n');
}

function unready(agent: Agent, driver: NodeDriver | undefined): string | undefined {
  if (!agent.scanned) return 'the host was not scanned yet';
  const alone = [...agent.plugins].filter(([, { watched }]) => !watched).map(([resource]) => resource);
  return alone.length > 0 ? `the kubelet does not watch ${alone.join(', ')}` : driver?.unready();
}

function render(agent: Agent, claims: GroupClaims, metrics: Metrics): string {
  for (const gauge of ['vsmmu_devices', 'vsmmu_registered'] as const) metrics.clear(gauge);
  for (const [resource, { devices, watched }] of agent.plugins) {
    const healthy = devices.filter(({ health }) => health.healthy).length;
    metrics.set('vsmmu_devices', { resource, health: 'healthy' }, healthy);
    metrics.set('vsmmu_devices', { resource, health: 'unhealthy' }, devices.length - healthy);
    metrics.set('vsmmu_registered', { resource }, watched ? 1 : 0);
  }
  metrics.set('vsmmu_devices_not_advertised', {}, agent.inventory.notAdvertised.length);
  metrics.set('vsmmu_groups_claimed', {}, claims.all.length);
  return metrics.render();
}

function status(agent: Agent, claims: GroupClaims): unknown {
  return {
    resources: Object.fromEntries(agent.plugins),
    notAdvertised: agent.inventory.notAdvertised,
    claims: claimsToJson(claims.all),
  };
}
