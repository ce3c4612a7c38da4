import { dirname, join } from 'node:path';
import { ExitStatus, VsmmuError } from '../../errors.js';
import { CallThreads } from '../../host/call-thread.js';
import { liveHints } from '../../host/live-hints.js';
import { openHost } from '../../host/open-host.js';
import { LANES, probeHost } from '../../host/probe.js';
import { REPLY_CACHE } from '../../host/reply-cache.js';
import type { IommufdPolicy } from '../../kubelet/allocation.js';
import { CDI_DIR } from '../../kubelet/cdi.js';
import { isGroupBusy } from '../../kubelet/group-busy.js';
import { rememberReplies, type ProbeMemory } from '../../host/remembered-probe.js';
import type { RegistrationMode } from '../../kubelet/resource-plugins.js';
import { scanTrusted } from '../../kubelet/trusted-scan.js';
import { startAgent, type NodeDriver, type StartOptions } from '../../kubelet/start-agent.js';
import type { DraDriverOptions } from '../../kubelet/dra/dra-driver.js';
import type { Log } from '../../log/log.js';
import { leanLog } from '../../log/json-log.js';
import type { LogFormat, LogLevel } from '../../log/log-options.js';
import { keepSmall } from '../../memory/keep-small.js';
import type { CliIo } from '../io.js';

export interface AgentCommandOptions {
  /** A recording instead of the live host. */
  readonly host?: string | undefined;
  readonly kubeletDir: string;
  readonly config?: string | undefined;
  readonly registration?: RegistrationMode | undefined;
  readonly iommufd: IommufdPolicy;
  readonly cdiDir?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly http?: string | undefined;
  /** false: it may not bind devices to ask them; a reader does, and keeps the answers. */
  readonly bind?: boolean | undefined;
  /** Kubernetes name of this node: its NodeProfile is kept. undefined: the API server is left alone. */
  readonly nodeName?: string | undefined;
  readonly kubeconfig?: string | undefined;
  /** Tell of changes by Events about the Node. */
  readonly events?: boolean | undefined;
  /** Serve the DRA driver beside the device plugin. */
  readonly dra?: boolean | undefined;
  readonly rescanSeconds: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

/** `vsmmu agent`: runs until it is told to stop. */
export async function runAgentCommand(options: AgentCommandOptions, io: CliIo): Promise<ExitStatus> {
  // Taken first: a SIGTERM that comes while it starts must stop it, not kill it.
  const { signal } = io;
  void keepSmall(signal, { env: io.env, atMostMs: 5_000 });
  const log = await leanLog(io.stderr, { level: options.logLevel, format: options.logFormat });
  const memory: ProbeMemory = new Map();
  const { host } = options;
  const source = await openHost({ host });
  const threads = new CallThreads(LANES);
  const publisher = await publisherFor(options, log, io);
  const events = await recorderFor(options, log, io);
  const isBusy = host === undefined ? isGroupBusy : undefined;
  const { kubeletDir, iommufd, cdiDir = CDI_DIR } = options;
  const stateDir = options.stateDir ?? join(kubeletDir, 'plugins/vsmmu.io');
  try {
    const driver =
      options.dra === true
        ? await openDriver(options, io, { kubeletDir, stateDir, cdiDir, source, isBusy, log })
        : undefined;
    await startAgent(
      {
        driver,
        events,
        kubeletDir,
        configFile: options.config,
        mode: options.registration ?? 'register',
        iommufd,
        cdiDir,
        stateDir,
        http: options.http,
        onHttp: (port) => log.info('Serving HTTP.', { port }),
        source,
        isBusy,
        scan: async (scanSignal, isHandedOut) => {
          // Opened for each scan: a live host holds the probe lock while it is open.
          const scanned =
            host === undefined ? await openHost({ bind: options.bind, isHandedOut, threads }) : source;
          try {
            const report = await scanTrusted(rememberReplies(scanned, memory), (trusted) =>
              probeHost(trusted, { signal: scanSignal }),
            );
            publisher?.offer(report, signal);
            return report;
          } finally {
            if (scanned !== source) await scanned.close();
          }
        },
        rescanMs: options.rescanSeconds * 1000,
        // A reader's answers come as a new file in its folder.
        hints: host === undefined ? await liveHints(dirname(REPLY_CACHE)) : [],
        log,
      },
      signal,
    );
  } finally {
    await source.close();
  }
  return ExitStatus.ok;
}

/** The Kubernetes client is loaded only where a node's profile is wanted: without it an agent is smaller. */
async function publisherFor({ nodeName, kubeconfig }: AgentCommandOptions, log: Log, io: CliIo) {
  if (nodeName === undefined) return undefined;
  const [{ clusterClient }, { ProfilePublisher }] = await Promise.all([
    import('../kubeconfig.js'),
    import('../../cluster/publish-profile.js'),
  ]);
  return new ProfilePublisher({ client: await clusterClient({ kubeconfig }, io), node: nodeName, log });
}

async function recorderFor(
  options: AgentCommandOptions,
  log: Log,
  io: CliIo,
): Promise<StartOptions['events']> {
  if (options.events !== true) return undefined;
  const name = nodeNameOf(options, io, 'Events are about a Node, which must be named.');
  const [{ clusterClient }, { EventRecorder }] = await Promise.all([
    import('../kubeconfig.js'),
    import('../../cluster/event-recorder.js'),
  ]);
  const client = await clusterClient({ kubeconfig: options.kubeconfig }, io);
  // The kubelet gives a node's events its name for a UID too, and kubectl looks for both.
  const regarding = { apiVersion: 'v1', kind: 'Node', name, uid: name };
  return (onWritten) =>
    new EventRecorder({ client, regarding, controller: 'vsmmu.io/agent', instance: name, log, onWritten });
}

/** The Kubernetes client and the schemas it needs are loaded here and nowhere else: the device plugin does without. */
async function openDriver(
  options: AgentCommandOptions,
  io: CliIo,
  rest: Omit<DraDriverOptions, 'client' | 'nodeName'>,
): Promise<NodeDriver> {
  const nodeName = nodeNameOf(options, io, 'The DRA driver must know the name of its Node.');
  const { clusterClient } = await import('../kubeconfig.js');
  const { DraDriver } = await import('../../kubelet/dra/dra-driver.js');
  const client = await clusterClient({ kubeconfig: options.kubeconfig }, io);
  return new DraDriver({ ...rest, client, nodeName });
}

function nodeNameOf({ nodeName }: AgentCommandOptions, io: CliIo, why: string): string {
  const name = nodeName ?? io.env['NODE_NAME'] ?? '';
  if (name !== '') return name;
  throw new VsmmuError('USAGE', why, {
    place: '--node-name',
    remedy: 'Name it, or set NODE_NAME (in a pod: fieldRef spec.nodeName).',
    exitStatus: ExitStatus.usage,
  });
}
