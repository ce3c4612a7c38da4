import { join } from 'node:path';

import { serveUnix } from '../../grpc/server.js';
import type { RewriteDomain } from './define-domain.js';
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
  const { promise: stopped, resolve: stop } = deferred();
  // The answer to Shutdown still has to leave: closing lets running calls finish first.
  const services = hookServices(rewrite, () => setImmediate(() => void close()));
  const server = await serveUnix(join(socketDir, hookSocketName(env)), services, {
    onFailure,
    binding: 'in-place',
  });

  function close(): Promise<void> {
    const closed = server.close();
    closed.then(stop, stop);
    return closed;
  }
  return { socketPath: server.path, stopped, close };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
