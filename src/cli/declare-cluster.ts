import type { Declare } from './declaration.js';

/** Long-running parts of a cluster: agent, webhook, hook. */
export const declareClusterCommands: Declare = (program, io, finish) => {
  declareHook(program, io, finish);
};

const declareHook: Declare = (program, io, finish) => {
  program
    .command('hook')
    .description("Serve KubeVirt's hook sidecar API: rewrite the VM's domain with its node's values.")
    .option('--socket-dir <dir>', "where virt-launcher looks for hooks' sockets", '/var/run/kubevirt-hooks')
    .action(async (options: { socketDir: string }) => {
      const { runHook } = await import('./commands/hook.js');
      finish(await runHook(options, io));
    });
};
