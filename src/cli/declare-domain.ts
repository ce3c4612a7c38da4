import { type Command, Option } from 'commander';

import type { RewriteCommandOptions } from './commands/rewrite.js';
import { type Declare, type Finish, hostOption } from './declaration.js';
import type { CliIo } from './io.js';

/** Commands about libvirt domains and QEMU command lines. */
export const declareDomainCommands: Declare = (program, io, finish) => {
  declareRewrite(program, io, finish);
};

export const existingOption = () =>
  new Option(
    '--existing <policy>',
    'values that stand in the domain: placeholders, or wishes kept and checked',
  )
    .choices(['replace', 'keep'])
    .default('replace');

export const targetOption = () =>
  new Option('--target <place>', 'where vSMMU properties go: libvirt attributes, qemu:override, or both')
    .choices(['native', 'override', 'both'])
    .default('native');

export const spellingOption = () =>
  new Option('--spelling <name>', "name of the attribute: libvirt's, a vendor's, or both")
    .choices(['ssidsize', 'ssidSize', 'both'])
    .default('ssidsize');

function declareRewrite(program: Command, io: CliIo, finish: Finish): void {
  program
    .command('rewrite')
    .description("Write a libvirt domain's vSMMUs with the values that the host allows.")
    .argument('<file>', "the domain XML; '-' for standard input")
    .addOption(hostOption())
    .addOption(existingOption())
    .addOption(targetOption())
    .addOption(spellingOption())
    .option('--no-vfio-ats', 'the QEMU has no vfio-pci ats property (older than 11.1)')
    .addOption(
      new Option('--diff', 'print the difference, not the document').conflicts(['explain', 'output']),
    )
    .addOption(new Option('--explain', 'print why each value is what it is').conflicts('output'))
    .addOption(
      new Option('-o, --output <format>', 'output format').choices(['xml', 'json', 'yaml']).default('xml'),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  virsh dumpxml vm1 | vsmmu rewrite - | virsh define /dev/stdin\n  vsmmu rewrite --host ./node1 --diff vm1.xml',
    )
    .action(async (file: string, options: RewriteCommandOptions) => {
      const { runRewrite } = await import('./commands/rewrite.js');
      finish(await runRewrite(file, options, io));
    });
}
