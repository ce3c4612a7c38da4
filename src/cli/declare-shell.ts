import { Argument, Option } from 'commander';

import type { ConfigKubeVirtOptions } from './commands/config-kubevirt.js';
import { commandModel } from './command-model.js';
import { SHELLS, type Shell } from './completion/words.js';
import { type Declare } from './declaration.js';
import { fleetOptions } from './declare-fleet.js';

/** What serves the person at the shell: completions, and configuration of others made from what is known. */
export const declareShellCommands: Declare = (program, io, finish) => {
  const config = program.command('config').description('Make configuration for others from what is known.');
  fleetOptions(config.command('kubevirt'))
    .description("The patch that lets KubeVirt's VMs have the fleet's devices.")
    .option(
      '--current <file>',
      "the KubeVirt object as it is, to keep what it permits; '-' for standard input",
    )
    .addOption(new Option('-o, --output <format>', 'output format').choices(['yaml', 'json']).default('yaml'))
    .addHelpText(
      'after',
      '\nExample:\n  kubectl -n kubevirt get kubevirt kubevirt -o yaml | vsmmu config kubevirt --current - > patch.yaml\n  kubectl -n kubevirt patch kubevirt kubevirt --type merge --patch-file patch.yaml',
    )
    .action(async (options: ConfigKubeVirtOptions) => {
      const { runConfigKubeVirt } = await import('./commands/config-kubevirt.js');
      finish(await runConfigKubeVirt(options, io));
    });

  program
    .command('completion')
    .description('Print a completion script for a shell.')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText(
      'after',
      '\nExamples:\n  source <(vsmmu completion bash)\n  source <(vsmmu completion zsh)\n  vsmmu completion fish | source',
    )
    .action(async (shell: Shell) => {
      const { runCompletion } = await import('./commands/completion.js');
      finish(await runCompletion(shell, commandModel(program), io));
    });
};
