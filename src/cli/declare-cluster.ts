import type { HookCommandOptions } from './commands/hook.js';
import type { Declare } from './declaration.js';
import { existingOption, spellingOption, targetOption } from './declare-domain.js';
import { declareWebhook } from './declare-webhook.js';

/** Long-running parts of a cluster: agent, webhook, hook. */
export const declareClusterCommands: Declare = (program, io, finish) => {
  declareHook(program, io, finish);
  declareWebhook(program, io, finish);
};

const declareHook: Declare = (program, io, finish) => {
  program
    .command('hook')
    .description("Serve KubeVirt's hook sidecar API: rewrite the VM's domain with its node's values.")
    .option('--socket-dir <dir>', "where virt-launcher looks for hooks' sockets", '/var/run/kubevirt-hooks')
    .addOption(existingOption())
    .addOption(targetOption())
    .addOption(spellingOption())
    .option('--no-vfio-ats', 'the QEMU has no vfio-pci ats property (older than 11.1)')
    .action(async (options: HookCommandOptions) => {
      const { runHook } = await import('./commands/hook.js');
      finish(await runHook(options, io));
    });
};
