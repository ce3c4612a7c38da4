import { dirname } from 'node:path';
import { ExitStatus } from '../../errors.js';
import { openHost } from '../../host/open-host.js';
import { probeHost } from '../../host/probe.js';
import { REPLY_CACHE } from '../../host/reply-cache.js';
import { runAgent, type AgentOptions } from '../../kubelet/agent.js';
import type { IommufdPolicy } from '../../kubelet/allocation.js';
import { defaultResourceName } from '../../kubelet/resource-name.js';
import { rememberReplies, type ProbeMemory } from '../../kubelet/remembered-probe.js';
import { winstonLog, type LogFormat, type LogLevel } from '../../log/winston-log.js';
import type { CliIo } from '../io.js';

export interface AgentCommandOptions {
  /** A recording instead of the live host. */
  readonly host?: string | undefined;
  readonly kubeletDir: string;
  readonly iommufd: IommufdPolicy;
  /** false: it may not bind devices to ask them; a reader does, and keeps the answers. */
  readonly bind?: boolean | undefined;
  readonly rescanSeconds: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

/** `vsmmu agent`: runs until it is told to stop. */
export async function runAgentCommand(options: AgentCommandOptions, io: CliIo): Promise<ExitStatus> {
  // Taken first: a SIGTERM that comes while it starts must stop it, not kill it.
  const { signal } = io;
  const log = winstonLog(io.stderr, { level: options.logLevel, format: options.logFormat });
  const memory: ProbeMemory = new Map();
  const { host } = options;
  const source = await openHost({ host });
  const agent: AgentOptions = {
    kubeletDir: options.kubeletDir,
    source,
    scan: async (signal) => {
      // Opened for each scan: a live host holds the probe lock while it is open.
      const scanned = host === undefined ? await openHost({ bind: options.bind }) : source;
      try {
        return await probeHost(rememberReplies(scanned, memory), { signal });
      } finally {
        if (scanned !== source) await scanned.close();
      }
    },
    naming: (device) => {
      const resource = defaultResourceName(device);
      return resource === undefined ? { reason: 'its PCI ids could not be read' } : { resource };
    },
    iommufd: options.iommufd,
    rescanMs: options.rescanSeconds * 1000,
    hints: host === undefined ? ['/dev/vfio', '/dev/vfio/devices', dirname(REPLY_CACHE)] : [],
    log,
  };
  try {
    await runAgent(agent, signal);
  } finally {
    await source.close();
  }
  return ExitStatus.ok;
}
