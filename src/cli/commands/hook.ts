import type { RewriteOptions } from '../../domain/rewrite.js';
import { ExitStatus, messageOf, VsmmuError } from '../../errors.js';
import { hookRewriter } from '../../kubevirt/hook/rewrite.js';
import { serveHook } from '../../kubevirt/hook/serve-hook.js';
import { jsonLog } from '../../log/json-log.js';
import type { CliIo } from '../io.js';

export interface HookCommandOptions extends RewriteOptions {
  readonly socketDir: string;
}

/** Serves the hook until virt-launcher calls Shutdown or the process is told to stop; 0 then. */
export async function runHook({ socketDir, ...rewrite }: HookCommandOptions, io: CliIo): Promise<ExitStatus> {
  // Taken first: a SIGTERM that comes while it starts must stop it, not kill it.
  const { signal } = io;
  const log = jsonLog(io.stderr);
  const hook = await serveHook({
    socketDir,
    env: io.env,
    rewrite: hookRewriter(rewrite),
    onFailure: (call, error) => {
      const vsmmu = error instanceof VsmmuError ? error : undefined;
      log.error(messageOf(error), { call, code: vsmmu?.code, place: vsmmu?.place, remedy: vsmmu?.remedy });
    },
  });
  log.info('serving', { socket: hook.socketPath });
  const stop = () => void hook.close();
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  await hook.stopped;
  log.info('stopped');
  return ExitStatus.ok;
}
