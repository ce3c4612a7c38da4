import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';

import { FolderHints } from '../src/host/hints.js';
import { startAgent, type StartOptions } from '../src/kubelet/start-agent.js';
import { silentLog } from '../src/log/log.js';
import { HostTree, type FunctionOfHost } from './kubelet-host.js';
import type { KubeletPeer } from './kubelet-peer.js';

export interface RunningAgent {
  readonly host: HostTree;
  readonly stop: () => Promise<void>;
}

/** The agent beside a kubelet, over a host that is made of these functions. @param dir the test's own folder */
export function runAgent(
  dir: string,
  kubelet: KubeletPeer,
  functions: readonly FunctionOfHost[],
  options: Partial<StartOptions> = {},
): RunningAgent {
  const host = new HostTree(mkdtempSync(join(dir, 'h')), functions);
  const abort = new AbortController();
  const running = startAgent(
    {
      kubeletDir: kubelet.root,
      source: host.source,
      scan: () => host.report(),
      configFile: undefined,
      stateDir: join(dir, 'state'),
      http: undefined,
      mode: 'register',
      iommufd: 'auto',
      cdiDir: join(dir, 'cdi'),
      rescanMs: 20,
      hints: [new FolderHints([join(host.root, 'dev/vfio')])],
      log: silentLog,
      ...options,
    },
    abort.signal,
  );
  const stop = async () => {
    abort.abort();
    await running;
  };
  return { host, stop };
}
