import { type Command, InvalidArgumentError, Option } from 'commander';

import type { CheckCommandOptions } from './commands/check.js';
import type { QemuArgsOptions } from './commands/qemu-args.js';
import type { RewriteCommandOptions } from './commands/rewrite.js';
import { type Declare, type Finish, hostOption, outputOption } from './declaration.js';
import type { CliIo } from './io.js';

/** Commands about libvirt domains and QEMU command lines. */
export const declareDomainCommands: Declare = (program, io, finish) => {
  declareRewrite(program, io, finish);
  declareCheck(program, io, finish);
  declareQemuArgs(program, io, finish);
};

export const existingOption = () =>
  new Option(
    '--existing <policy>',
    'values that stand in the domain: placeholders, or wishes kept and checked',
  )
    .choices(['replace', 'keep'])
    .default('replace');

export const targetOption = () =>
  new Option(
    '--target <place>',
    'where vSMMU properties go: libvirt attributes, qemu:override, or both (default: native, or as the launcher needs)',
  ).choices(['native', 'override', 'both']);

export const spellingOption = () =>
  new Option('--spelling <name>', "name of the attribute: libvirt's, a vendor's, or both")
    .choices(['ssidsize', 'ssidSize', 'both'])
    .default('ssidsize');

export const topologyOption = () =>
  new Option(
    '--topology <policy>',
    'nothing; the vSMMUs that are there; or one for every passed-through device',
  )
    .choices(['off', 'rewrite', 'complete'])
    .default('rewrite');

export const unknownAtsOption = () =>
  new Option('--unknown-ats <answer>', 'what a device counts as whose ATS the kernel cannot tell')
    .choices(['unknown', 'yes', 'no'])
    .default('unknown');

export const unresolvableOption = () =>
  new Option(
    '--unresolvable <policy>',
    'where nothing is known of the host SMMU: refuse, leave values out, or write what every SMMU has',
  )
    .choices(['fail', 'omit', 'conservative'])
    .default('fail');

function declareRewrite(program: Command, io: CliIo, finish: Finish): void {
  program
    .command('rewrite')
    .description("Write a libvirt domain's vSMMUs with the values that the host allows.")
    .argument('<file>', "the domain XML; '-' for standard input")
    .addOption(hostOption())
    .addOption(existingOption())
    .option(
      '--set <values>',
      'values that count before all others: ril=off,ssidsize=16,device.ats=off',
      collect,
      [],
    )
    .option('--baseline <file>', "values of a fleet (vsmmu baseline -o json) instead of this host's")
    .addOption(unresolvableOption())
    .addOption(unknownAtsOption())
    .addOption(topologyOption())
    .option('--regroup', 'split a vSMMU whose devices are of several host SMMUs', false)
    .option(
      '--initiators <count>',
      'with complete: guest NUMA nodes that each device becomes Generic Initiator of (Grace GPUs: 8)',
      parseCount,
      0,
    )
    .addOption(targetOption())
    .addOption(spellingOption())
    .option('--libvirt <version>', 'of the launcher; decides where properties go')
    .option('--qemu <version>', 'of the launcher; decides which properties it knows')
    .option('--plugins', "KubeVirt's plugin pipeline stands in between, which drops attributes", false)
    .option('--probe', 'ask virsh and QEMU of this machine for what was not given', false)
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
      '\nExamples:\n  virsh dumpxml vm1 | vsmmu rewrite - | virsh define /dev/stdin\n  vsmmu rewrite --host ./node1 --diff vm.xml',
    )
    .action(async (file: string, options: RewriteCommandOptions) => {
      const { runRewrite } = await import('./commands/rewrite.js');
      finish(await runRewrite(file, options, io));
    });
}

/** @throws InvalidArgumentError, which commander turns into a usage error */
function parseCount(text: string): number {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a number from 0 to 99.');
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

function declareCheck(program: Command, io: CliIo, finish: Finish): void {
  program
    .command('check')
    .description('Tell before a VM starts which check of libvirt or QEMU it would fail.')
    .argument('<file>', "the domain XML; '-' for standard input")
    .addOption(hostOption())
    .addOption(
      new Option('--qemu <version>', 'whose defaults count where nothing is written')
        .choices(['11.0', '11.1'])
        .default('11.1'),
    )
    .addOption(outputOption())
    .addHelpText('after', '\nExample:\n  vsmmu check --host ./node1 vm1.xml')
    .action(async (file: string, options: CheckCommandOptions) => {
      const { runCheck } = await import('./commands/check.js');
      finish(await runCheck(file, options, io));
    });
}

function declareQemuArgs(program: Command, io: CliIo, finish: Finish): void {
  program
    .command('qemu-args')
    .description('Print a QEMU command line with every auto of its vSMMUs resolved and checked.')
    .argument('<file>', "the command, or a JSON array of -device objects; '-' for standard input")
    .addOption(hostOption())
    .addHelpText('after', '\nExample:\n  vsmmu qemu-args --host ./node1 start-vm.sh')
    .action(async (file: string, options: QemuArgsOptions) => {
      const { runQemuArgs } = await import('./commands/qemu-args.js');
      finish(await runQemuArgs(file, options, io));
    });
}
