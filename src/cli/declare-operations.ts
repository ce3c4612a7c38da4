import { type Command, InvalidArgumentError } from 'commander';

import type { CleanupOptions } from './commands/cleanup.js';
import type { SupportBundleOptions } from './commands/support-bundle.js';
import type { Declare } from './declaration.js';

/** What an operator does around an installation: ask for help, and take it away. */
export const declareOperations: Declare = (program, io, finish) => {
  clusterOptions(program.command('support-bundle'))
    .description('Collect what a ticket needs into a folder: objects, logs and configuration, no secrets.')
    .argument('<dir>', 'where it is written; must be empty or absent')
    .option('--this-host', 'record this machine into it too, as vsmmu record does', false)
    .option('--no-bind', 'with --this-host: ask no device; what was answered since boot still counts')
    .option('--log-lines <n>', "last lines of each container's log", logLines, 2000)
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu support-bundle ./ticket && tar czf ticket.tar.gz ticket\n  vsmmu support-bundle ./ticket --this-host --no-bind',
    )
    .action(async (dir: string, options: SupportBundleOptions) => {
      const { runSupportBundle } = await import('./commands/support-bundle.js');
      finish(await runSupportBundle(dir, options, io));
    });

  clusterOptions(program.command('cleanup'))
    .description('Remove what an uninstalled chart would leave: webhook configurations, labels of nodes.')
    .option('--webhook-configuration <name...>', 'mutating and validating configurations of these names', [])
    .option('--node-labels', 'labels vsmmu.io/… and baseline.vsmmu.io/… of all nodes', false)
    .option('--resource-slices', 'ResourceSlices of the driver vsmmu.io', false)
    .addHelpText(
      'after',
      '\nExample:\n  vsmmu cleanup --webhook-configuration vsmmu-webhook --node-labels --resource-slices',
    )
    .action(async (options: CleanupOptions) => {
      const { runCleanup } = await import('./commands/cleanup.js');
      finish(await runCleanup(options, io));
    });
};

function clusterOptions(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'instead of KUBECONFIG or ~/.kube/config')
    .option('--context <name>', 'of the kubeconfig, instead of its current one');
}

function logLines(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('Write whole lines, 1 to 9999999.');
  return Number(text);
}
