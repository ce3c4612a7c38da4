import { join } from 'node:path';

import { type ServedService, serveUnix } from '../../grpc/server.js';
import type { RewriteDomain } from './define-domain.js';
import { domainHookService, nodeHookService } from './plugin-services.js';
import { hookServices } from './services.js';
import { hookSocketName } from './socket-name.js';

export interface HookOptions {
  /** The sidecar's own folder; virt-launcher sees it as /var/run/kubevirt-hooks/hook-sidecar-<i>. */
  readonly socketDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly rewrite: RewriteDomain;
  /** Hears what was refused, for the container's log. */
  readonly onFailure: (path: string, error: unknown) => void;
}

export interface RunningHook {
  readonly socketPath: string;
  /** Resolves when Shutdown was called or `close` has finished. */
  readonly stopped: Promise<void>;
  close(): Promise<void>;
}

/**
 * Serves the hook. The socket appears only when calls are answered: virt-launcher calls Info at once when it
 * sees one, and an error there ends the VM.
 *
 * @throws VsmmuError where the socket can't be made
 */
export async function serveHook({ socketDir, env, rewrite, onFailure }: HookOptions): Promise<RunningHook> {
  let close: () => void = () => undefined;
  // The answer to Shutdown still has to leave: closing lets running calls finish first.
  const services = hookServices(rewrite, () => setImmediate(() => close()));
  const running = await serve(join(socketDir, hookSocketName(env)), services, onFailure);
  close = () => void running.close();
  return running;
}

export interface PluginSockets {
  /** In the VM's pod, below /var/run/kubevirt-plugin/<plugin>/ (KubeVirt demands the place and ".sock"). */
  readonly domainHook?: string;
  /** On the node, where virt-handler finds it. */
  readonly nodeHook?: string;
}

/**
 * Serves KubeVirt's Plugin API instead, on the sockets that are named. Nothing in that API ends the program.
 *
 * @throws VsmmuError where a socket can't be made
 */
export async function servePlugins(
  { domainHook, nodeHook }: PluginSockets,
  { rewrite, onFailure }: Pick<HookOptions, 'rewrite' | 'onFailure'>,
): Promise<RunningHook[]> {
  const running: RunningHook[] = [];
  if (domainHook !== undefined)
    running.push(await serve(domainHook, [domainHookService(rewrite)], onFailure));
  if (nodeHook !== undefined) running.push(await serve(nodeHook, [nodeHookService()], onFailure));
  return running;
}

async function serve(
  path: string,
  services: readonly ServedService[],
  onFailure: HookOptions['onFailure'],
): Promise<RunningHook> {
  const { promise: stopped, resolve: stop } = deferred();
  const server = await serveUnix(path, services, { onFailure, binding: 'in-place' });
  const close = () => {
    const closed = server.close();
    closed.then(stop, stop);
    return closed;
  };
  return { socketPath: server.path, stopped, close };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
