import type { HookCommandOptions } from './commands/hook.js';
import type { Declare } from './declaration.js';
import {
  existingOption,
  spellingOption,
  targetOption,
  topologyOption,
  unknownAtsOption,
  unresolvableOption,
} from './declare-domain.js';
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
    .addOption(unresolvableOption())
    .addOption(unknownAtsOption())
    .addOption(topologyOption())
    .option('--regroup', 'split a vSMMU whose devices are of several host SMMUs', false)
    .addOption(targetOption())
    .addOption(spellingOption())
    .option('--libvirt <version>', 'of the virt-launcher image; decides where properties go')
    .option('--qemu <version>', 'of the virt-launcher image; decides which properties it knows')
    .option('--plugins', 'the cluster has Plugin objects: their pipeline drops attributes', false)
    .option('--no-vfio-ats', 'the QEMU has no vfio-pci ats property (older than 11.1)')
    .option('--plugin-socket <path>', "serve KubeVirt's Plugin API for domains there, instead")
    .option('--node-hook-socket <path>', "serve KubeVirt's Plugin API for nodes there, instead")
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu hook\n  vsmmu hook --libvirt 12.5.0 --qemu 11.1.0 --topology complete',
    )
    .action(async (options: HookCommandOptions) => {
      const { runHook } = await import('./commands/hook.js');
      finish(await runHook(options, io));
    });
};
