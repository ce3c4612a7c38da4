import { chooseTarget } from '../../domain/launcher.js';
import type { RewriteOptions } from '../../domain/rewrite.js';
import { ExitStatus, messageOf, VsmmuError } from '../../errors.js';
import { hookRewriter } from '../../kubevirt/hook/rewrite.js';
import { type RunningHook, serveHook, servePlugins } from '../../kubevirt/hook/serve-hook.js';
import { jsonLog } from '../../log/json-log.js';
import type { Log } from '../../log/log.js';
import { giveBackNow, keepSmall } from '../../memory/keep-small.js';
import type { CliIo } from '../io.js';
import { launcherOf, type LauncherOptions } from '../launcher.js';

type Tuning = Pick<
  RewriteOptions,
  'topology' | 'regroup' | 'existing' | 'unresolvable' | 'unknownAts' | 'target' | 'spelling' | 'vfioAts'
>;

export interface HookCommandOptions extends Tuning, Pick<LauncherOptions, 'libvirt' | 'qemu' | 'plugins'> {
  readonly socketDir: string;
  /** Sockets of the Plugin API; with either, the sidecar API is not served. */
  readonly pluginSocket?: string;
  readonly nodeHookSocket?: string;
}

/** Serves the hook until virt-launcher calls Shutdown or the process is told to stop; 0 then. */
export async function runHook(options: HookCommandOptions, io: CliIo): Promise<ExitStatus> {
  // Taken first: a SIGTERM that comes while it starts must stop it, not kill it.
  const { signal } = io;
  const log = jsonLog(io.stderr);
  const hooks = await serveAll(options, io, log);
  // There is a hook in every VM's pod, and most are done after three calls: its start's pages go before the first.
  await giveBackNow(io);
  for (const { socketPath } of hooks) log.info('serving', { socket: socketPath });
  void keepSmall(signal, { env: io.env, atMostMs: 60_000 });
  const stop = () => {
    for (const hook of hooks) void hook.close();
  };
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  await Promise.all(hooks.map(({ stopped }) => stopped));
  log.info('stopped');
  return ExitStatus.ok;
}

async function serveAll(options: HookCommandOptions, io: CliIo, log: Log): Promise<readonly RunningHook[]> {
  const { socketDir, pluginSocket: domainHook, nodeHookSocket: nodeHook } = options;
  const served = {
    rewrite: hookRewriter(await rewriteOptions(options), (warnings) => {
      for (const { code, message, place } of warnings) log.warn(message, { code, place });
    }),
    onFailure: (call: string, error: unknown) => {
      const vsmmu = error instanceof VsmmuError ? error : undefined;
      log.error(messageOf(error), { call, code: vsmmu?.code, place: vsmmu?.place, remedy: vsmmu?.remedy });
    },
  };
  if (domainHook === undefined && nodeHook === undefined)
    return [await serveHook({ socketDir, env: io.env, ...served })];
  const sockets = { ...(domainHook && { domainHook }), ...(nodeHook && { nodeHook }) };
  return servePlugins(sockets, served);
}

/** What the launcher's libvirt and QEMU decide, and before it what was said outright. */
async function rewriteOptions(options: HookCommandOptions): Promise<RewriteOptions> {
  const { topology, regroup, existing, unresolvable, unknownAts, target, spelling, vfioAts, pluginSocket } =
    options;
  const plugins = options.plugins === true || pluginSocket !== undefined;
  const launcher = await launcherOf({ libvirt: options.libvirt, qemu: options.qemu, plugins });
  const given = { topology, regroup, existing, unresolvable, unknownAts, target, spelling };
  return {
    ...(launcher === undefined ? {} : chooseTarget(launcher)),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ...(vfioAts === false ? { vfioAts } : {}),
    accelLost: pluginSocket !== undefined,
  };
}
