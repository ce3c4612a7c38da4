import { type Command, InvalidArgumentError, Option } from 'commander';

import { ExitStatus, VsmmuError } from '../errors.js';
import type { CheckVmiOptions } from './commands/check-vmi.js';
import type { CheckCommandOptions } from './commands/check.js';
import type { QemuArgsOptions } from './commands/qemu-args.js';
import type { RewriteCommandOptions } from './commands/rewrite.js';
import { type Declare, type Finish, hostOption, outputOption } from './declaration.js';
import { fleetOptions, resourceOption, vmiFileOption } from './declare-fleet.js';
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
      const { runRewrite } = await import('./commands/of-a-host.js');
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

type CheckOptions = CheckCommandOptions &
  Omit<CheckVmiOptions, 'host'> & { readonly file?: string; readonly host: readonly string[] };

function declareCheck(program: Command, io: CliIo, finish: Finish): void {
  fleetOptions(program.command('check'), 'this machine; with -f the cluster')
    .description(
      'Tell before a VM starts which check it would fail: a domain those of libvirt and QEMU, a VMI (-f) those of webhook, policies and nodes.',
    )
    .argument('[domain]', "the domain XML; '-' for standard input")
    .addOption(vmiFileOption())
    .option('-n, --namespace <name>', 'with -f: of a VMI that names none', 'default')
    .addOption(resourceOption())
    .addOption(
      new Option('--qemu <version>', 'of a domain: whose defaults count where nothing is written')
        .choices(['11.0', '11.1'])
        .default('11.1'),
    )
    .addOption(outputOption('wide'))
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu check --host ./node1 vm1.xml\n  vsmmu check -f vmi.yaml\n  vsmmu check -f vmi.yaml --host ./node1 --host ./node2 --objects policies.yaml',
    )
    .action(async (domain: string | undefined, { file, host, ...options }: CheckOptions) => {
      if ((domain === undefined) === (file === undefined))
        throw usage(
          'check',
          'name a domain XML, or a VMI with -f',
          'vsmmu check FILE, or vsmmu check -f FILE.',
        );
      if (file !== undefined) {
        const { runCheckVmi } = await import('./commands/check-vmi.js');
        finish(await runCheckVmi(file, { host, ...options }, io));
        return;
      }
      const [only, other] = host;
      if (other !== undefined)
        throw usage(
          '--host',
          'a domain is checked on one host',
          'Name one recording, or check a VMI with -f.',
        );
      const { runCheck } = await import('./commands/of-a-host.js');
      finish(await runCheck(domain ?? '', { host: only, ...options }, io));
    });
}

function usage(place: string, message: string, remedy: string): VsmmuError {
  return new VsmmuError('USAGE', message, { place, remedy, exitStatus: ExitStatus.usage });
}

function declareQemuArgs(program: Command, io: CliIo, finish: Finish): void {
  program
    .command('qemu-args')
    .description('Print a QEMU command line with every auto of its vSMMUs resolved and checked.')
    .argument('<file>', "the command, or a JSON array of -device objects; '-' for standard input")
    .addOption(hostOption())
    .addHelpText('after', '\nExample:\n  vsmmu qemu-args --host ./node1 start-vm.sh')
    .action(async (file: string, options: QemuArgsOptions) => {
      const { runQemuArgs } = await import('./commands/of-a-host.js');
      finish(await runQemuArgs(file, options, io));
    });
}
